// How far a file is that takes a while to make.

import { progressBar } from "./bar.js";
import { filled, make, valueOf } from "./dom.js";

export function start(page) {
  render(page);
  page.watch("value", () => render(page));
}

function render({ element, props, texts }) {
  const root = element.querySelector(".progress");
  const value = valueOf(props);
  root.replaceChildren();
  if (!value.total) return;
  const text = filled(texts.drawn, value);
  root.append(progressBar(value.done, value.total, text), make("span", "", text));
}

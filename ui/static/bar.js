// A bar of how much is done.

import { make } from "./dom.js";

export function progressBar(done, total, text) {
  const bar = make("div", "bar");
  const part = make("i");
  part.style.width = (100 * done) / total + "%";
  bar.append(part);
  bar.setAttribute("role", "progressbar");
  bar.setAttribute("aria-valuemin", "0");
  bar.setAttribute("aria-valuemax", String(total));
  bar.setAttribute("aria-valuenow", String(done));
  bar.setAttribute("aria-label", text);
  return bar;
}

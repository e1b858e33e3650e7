// Examples as a strip of small pictures; one that is chosen becomes the photo.

import { make, valueOf } from "./dom.js";

export function start(page) {
  render(page);
  page.watch("value", () => render(page));
}

function render({ element, props, trigger, language, texts }) {
  const pictures = valueOf(props).pictures || [];
  element.querySelector(".strip").replaceChildren(
    ...pictures.map((picture, index) => {
      const button = make("button", "example");
      button.type = "button";
      button.dataset.key = picture.key;
      button.title = picture.credit;
      const name = picture.names[language];
      button.setAttribute("aria-label", picture.fails ? name + ": " + texts.fails : name);
      const image = make("img");
      image.alt = "";
      image.src = picture.thumbnail;
      button.append(image);
      if (picture.fails) button.append(make("span", "fails", texts.fails));
      button.addEventListener("click", () => trigger("select", { index }));
      return button;
    }),
  );
}

// Examples as a strip of small pictures; one that is chosen becomes the photo.

import { make, valueOf } from "./dom.js";

export function start(page) {
  render(page);
  page.watch("value", () => render(page));
}

function render({ element, props, trigger, language }) {
  const pictures = valueOf(props).pictures || [];
  element.querySelector(".strip").replaceChildren(
    ...pictures.map((picture, index) => {
      const button = make("button", "example");
      button.type = "button";
      button.title = picture.credit;
      button.setAttribute("aria-label", picture.names[language]);
      const image = make("img");
      image.alt = "";
      image.src = picture.thumbnail;
      button.append(image);
      button.addEventListener("click", () => trigger("select", { index }));
      return button;
    }),
  );
}

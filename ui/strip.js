// Examples as a strip of small pictures; one that is chosen becomes the photo.

function render() {
  const root = element.querySelector(".strip");
  const pictures = (props.value && props.value.pictures) || [];
  root.replaceChildren(
    ...pictures.map((picture, index) => {
      const button = make("button", "example");
      button.type = "button";
      button.title = picture.credit;
      button.setAttribute("aria-label", KOREAN ? picture.name_ko : picture.name);
      const image = make("img");
      image.alt = "";
      image.src = picture.thumbnail;
      button.append(image);
      button.addEventListener("click", () => trigger("select", { index }));
      return button;
    }),
  );
}

render();
watch("value", render);

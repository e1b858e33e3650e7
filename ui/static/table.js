// Many photos: how far it has got, and a row for each; a row that is chosen opens its maps.

import { filled, make, percent, valueOf } from "./dom.js";

export function start(page) {
  render(page);
  page.watch("value", () => render(page));
}

function render(page) {
  const root = page.element.querySelector(".table");
  const value = valueOf(page.props);
  root.replaceChildren();
  if (!value.total) {
    root.append(make("p", "empty", page.texts.empty));
    return;
  }
  root.append(progress(value, page.texts), list(value, page));
}

function progress(value, texts) {
  const line = make("div", "progress");
  const bar = make("div", "bar");
  const done = make("i");
  done.style.width = (100 * value.done) / value.total + "%";
  bar.append(done);
  bar.setAttribute("role", "progressbar");
  bar.setAttribute("aria-valuemin", "0");
  bar.setAttribute("aria-valuemax", String(value.total));
  bar.setAttribute("aria-valuenow", String(value.done));
  const text = filled(texts.done, value);
  bar.setAttribute("aria-label", text);
  line.append(bar, make("span", "", text));
  if (value.failed) line.append(make("b", "", filled(texts.failed, value)));
  return line;
}

function list(value, page) {
  const { texts } = page;
  const table = make("table");
  const head = make("tr");
  for (const title of ["", texts.photo, texts.caption, texts.prob, texts.spread]) {
    const th = make(title ? "th" : "td", "", title);
    if (title) th.scope = "col";
    head.append(th);
  }
  const top = make("thead");
  top.append(head);
  const body = make("tbody");
  value.rows.forEach((row, index) => body.append(line(row, index, page)));
  table.append(top, body);
  return table;
}

function line(row, index, { texts, trigger }) {
  const tr = make("tr", row.error ? "failed" : "");
  const picture = make("td", "picture");
  if (row.thumbnail) {
    const image = make("img");
    image.alt = "";
    image.src = row.thumbnail;
    picture.append(image);
  }
  const text = make("td", "sentence");
  if (row.error) text.append(make("span", "error", row.error));
  else {
    const button = make("button", "open", row.caption);
    button.type = "button";
    button.lang = "en";
    button.title = filled(texts.open, row);
    button.addEventListener("click", () => trigger("select", { index }));
    text.append(button);
    if (row.unsure) text.append(make("span", "unsure", texts.unsure));
  }
  tr.append(picture, make("td", "file", row.file), text);
  tr.append(make("td", "number", row.error ? "" : percent(row.prob)));
  tr.append(make("td", "number", row.error ? "" : percent(row.spread)));
  return tr;
}

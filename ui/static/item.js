// One photo of the contact sheet: its picture, its text in a field, and how sure the model was.

import { filled, make, percent } from "./dom.js";

export function itemOf(view, row, index) {
  const { texts } = view;
  const node = make("li", row.error ? "item failed" : "item");
  const item = { node, row, index, text: () => "", stop: () => {}, choose: () => {}, focus: () => {}, compare: () => {} };
  if (row.error) {
    const said = make("div", "said");
    const say = window.captionerPage ? window.captionerPage.say : String;
    said.append(make("b", "file", row.file), make("span", "error", say(row.error)));
    node.append(make("div", "open none"), said);
    return item;
  }
  const open = make("button", "open");
  open.type = "button";
  const image = make("img");
  image.alt = row.alt;
  if (row.thumbnail) image.src = row.thumbnail;
  open.append(image);
  open.title = filled(texts.open, row);
  open.setAttribute("aria-label", filled(texts.open, row));
  open.setAttribute("aria-pressed", "false");
  open.addEventListener("click", () => view.open(index));
  const field = fieldOf(view, row, index, image);
  const meta = make("div", "meta");
  meta.append(make("span", "file", row.file), doubtOf(row, texts));
  const said = make("div", "said");
  said.append(field.node, meta);
  node.append(open, said);
  return {
    ...item,
    text: () => field.area.value.trim(),
    stop: (on) => (open.tabIndex = on ? 0 : -1),
    choose: (on) => {
      node.classList.toggle("chosen", on);
      open.setAttribute("aria-pressed", String(on));
    },
    focus: () => open.focus({ preventScroll: true }),
    compare: (now, models) => compare(view, field, said, now, models),
  };
}

function doubtOf(row, texts) {
  const node = make("span", "doubt");
  if (row.unsure) node.append(make("b", "unsure", texts.unsure), " ");
  const text = row.doubtful ? filled(texts.doubtful, row) : percent(row.prob);
  if (row.prob !== null) node.append(make("span", "", text));
  return node;
}

// The text to correct. What was written first stands below it once it was changed.
function fieldOf(view, row, index, image) {
  const { texts } = view;
  const node = make("div", "field");
  const area = make("textarea");
  area.rows = 2;
  area.maxLength = 1000;
  area.lang = "en";
  area.value = row.alt;
  area.setAttribute("aria-label", filled(texts.text, row));
  const first = make("p", "original");
  first.hidden = true;
  const changed = () => {
    const text = area.value.trim();
    image.alt = text;
    first.hidden = text === row.alt;
    fit(area);
    view.edited(index, text === row.alt ? null : text);
  };
  const restore = make("button", "restore", texts.restore);
  restore.type = "button";
  restore.addEventListener("click", () => {
    area.value = row.alt;
    changed();
    area.focus();
  });
  const written = make("span", "", filled(texts.original, { caption: row.alt }));
  first.append(written, restore);
  area.addEventListener("input", changed);
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault(); // an alternative text is one line
    const fields = [...view.list.querySelectorAll("textarea")];
    const next = fields[fields.indexOf(area) + (event.shiftKey ? -1 : 1)];
    if (next) next.focus();
  });
  node.append(area, first);
  return { node, area };
}

// As high as its text, where the browser does not see to it.
function fit(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = area.scrollHeight + "px";
}

// The same photo as another model saw it: words that the other one does not have are marked.
function compare(view, field, said, row, models) {
  if (said.querySelector(".models")) return;
  const list = make("dl", "models");
  const sentences = [row.caption, row.other];
  models.forEach((model, i) => {
    const text = make("dd");
    text.lang = "en";
    const others = wordsOf(sentences[1 - i]);
    for (const word of sentences[i].split(" ").filter(Boolean)) {
      const own = !others.includes(wordsOf(word)[0]);
      text.append(make(own ? "mark" : "span", "", word), " ");
    }
    if (!sentences[i]) text.append(make("span", "nothing", view.texts.nothing));
    list.append(make("dt", "", model), text);
  });
  field.node.after(list);
}

function wordsOf(text) {
  return text.toLowerCase().split(" ").map((word) => word.replace(/[.,!?;:]+$/, ""));
}

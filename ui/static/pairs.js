// Sentences and their translations, whose words are linked; the alignments as heat maps.

import { INFERNO } from "./colours.js";
import { filled, make, percent, valueOf, walk } from "./dom.js";

export function start(page) {
  render(page);
  page.watch("value", () => render(page));
}

function render({ element, props, texts, language }) {
  const root = element.querySelector(".pairs");
  const sentences = (valueOf(props).sentences || []).filter((sentence) => sentence.words.length);
  root.replaceChildren();
  const { error, instead } = valueOf(props);
  if (error) {
    const line = make("p", "error", window.captionerPage.say(error));
    line.setAttribute("role", "alert");
    root.append(line);
    return;
  }
  if (!sentences.length) {
    root.append(make("p", "empty", texts.empty));
    return;
  }
  if (instead) root.append(make("p", "hint", filled(texts.instead, namesOf(instead, language))));
  const [first] = sentences;
  const shared = sentences.every(({ warning }) => warning === first.warning) ? first.warning : "";
  if (shared) root.append(warn(shared));
  sentences.forEach((sentence, number) => root.append(pairOf(sentence, number, texts, shared)));
  root.append(make("p", "honest", texts.honest));
}

// Languages by their names in the page's own.
function namesOf(codes, language) {
  const names = new Intl.DisplayNames([language], { type: "language" });
  return Object.fromEntries(Object.entries(codes).map(([key, code]) => [key, names.of(code)]));
}

// Why not to rely on it.
function warn(warning) {
  return make("p", "warning", window.captionerPage.say(warning));
}

// One sentence with its translation; `pair` is what belongs to it.
function pairOf(value, number, texts, shared) {
  const pair = { value, texts, node: make("section", "pair") };
  pair.source = line(pair, texts.source, value.source_words.map((text) => ({ text })), "source");
  pair.target = line(pair, texts.target, value.words, "target");
  pair.node.append(pair.source.node, pair.target.node);
  if (value.warning && value.warning !== shared) pair.node.append(warn(value.warning));
  if (!number) pair.node.append(make("p", "hint", texts.hint));
  pair.node.append(table(pair));
  return pair.node;
}

function line(pair, title, words, side) {
  const { value, texts } = pair;
  const node = make("section", "line");
  const language = side === "source" ? value.source_language : value.target_language;
  const heading = make("h2", "", title + (language ? " · " + language : ""));
  if (side === "source" && value.guessed) {
    heading.textContent = title + " · " + filled(texts.guessed, { language });
  }
  const group = make("div", "words");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", title);
  group.lang = language || "";
  const buttons = words.map((word, index) => {
    const button = make("button", "word");
    button.type = "button";
    button.tabIndex = index ? -1 : 0;
    button.append(make("span", "text", word.text));
    if (word.prob !== undefined) button.append(make("span", "prob", percent(word.prob)));
    button.setAttribute("aria-label", spoken(value, side, word, index));
    button.addEventListener("pointerenter", () => show(pair, { side, index }));
    button.addEventListener("focus", () => show(pair, { side, index }));
    button.addEventListener("blur", () => show(pair, null));
    return button;
  });
  group.append(...buttons);
  group.addEventListener("pointerleave", () => show(pair, null));
  group.addEventListener("keydown", (event) => walk(event, buttons));
  node.append(heading, group);
  return { node, buttons };
}

function shares({ alignment }, side, index) {
  return side === "target" ? alignment[index] : alignment.map((row) => row[index]);
}

function spoken(value, side, word, index) {
  const others = side === "target" ? value.source_words : value.words.map((w) => w.text);
  const best = shares(value, side, index)
    .map((share, place) => [share, others[place]])
    .sort((a, b) => b[0] - a[0])
    .slice(0, 2)
    .map(([share, text]) => text + " " + percent(share));
  return word.text + ": " + best.join(", ");
}

function show(pair, place) {
  for (const side of ["source", "target"]) {
    const lit = place && place.side !== side ? shares(pair.value, place.side, place.index) : [];
    pair[side].buttons.forEach((button, index) => {
      const on = place && place.side === side && place.index === index;
      button.classList.toggle("on", Boolean(on));
      button.style.setProperty("--lit", String(lit[index] || 0));
    });
  }
  for (const cell of pair.node.querySelectorAll("td:not(.corner)")) {
    const inRow = place && place.side === "target" && Number(cell.dataset.row) === place.index;
    const inColumn = place && place.side === "source" && Number(cell.dataset.column) === place.index;
    cell.classList.toggle("on", Boolean(inRow || inColumn));
  }
}

function colour(share) {
  const at = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
  return "rgb(" + INFERNO[at] + ", " + INFERNO[at + 1] + ", " + INFERNO[at + 2] + ")";
}

function table(pair) {
  const { value, texts } = pair;
  const frame = make("div", "frame");
  frame.tabIndex = 0;
  frame.setAttribute("role", "group"); // no landmark: there is one a sentence
  frame.setAttribute("aria-label", texts.table);
  const node = make("table");
  node.append(make("caption", "", texts.table));
  const head = make("tr");
  head.append(make("td", "corner"));
  for (const text of value.source_words) head.append(heading(text, "col"));
  if (value.end_mass) head.append(heading(texts.end, "col apart"));
  const top = make("thead");
  top.append(head);
  const body = make("tbody");
  value.words.forEach((word, row) => {
    const tr = make("tr");
    tr.append(heading(word.text, "row"));
    value.alignment[row].forEach((share, column) => tr.append(cell(pair, share, row, column)));
    if (value.end_mass) {
      const end = cell(pair, value.end_mass[row], row, value.source_words.length);
      end.classList.add("apart");
      tr.append(end);
    }
    body.append(tr);
  });
  node.append(top, body);
  frame.append(node);
  return frame;
}

// Letters that are written upright from top to bottom, and would lie on their side if turned.
const UPRIGHT = /[\p{Script=Hangul}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u;

function heading(text, name) {
  const th = make("th", name);
  th.scope = name.split(" ")[0];
  th.classList.toggle("upright", UPRIGHT.test(text));
  th.append(make("span", "", text));
  return th;
}

function cell(pair, share, row, column) {
  const td = make("td", "", share >= 0.1 ? (100 * share).toFixed(0) : "");
  td.style.backgroundColor = colour(share);
  td.style.color = share > 0.6 ? "#111" : "#fff";
  td.dataset.row = String(row);
  td.dataset.column = String(column);
  td.addEventListener("pointerenter", () => show(pair, { side: "target", index: row }));
  td.addEventListener("pointerleave", () => show(pair, null));
  return td;
}

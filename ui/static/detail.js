// The line under the words: what is shown, or who looked at a cell.

import { filled, make, percent } from "./dom.js";
import { wordAt } from "./selection.js";
import { lookText } from "./words.js";

const MOST = 5; // words that looked at a cell

export function buildDetail(view) {
  const { part } = view;
  part.detail = make("div", "detail");
  part.told = make("div", "told");
  part.reserved = make("div", "reserved");
  part.reserved.setAttribute("aria-hidden", "true");
  part.detail.append(part.told);
  // A narrower page breaks the lines elsewhere; a hidden one has no width to measure at.
  new ResizeObserver(() => {
    if (part.detail.clientWidth !== view.reservedAt) reserveDetail(view);
  }).observe(part.detail);
}

export function fillDetail(view) {
  const { shown, part } = view;
  const word = wordAt(view, shown);
  if (view.cell !== null && !word) fillCell(view);
  else if (!word) part.told.replaceChildren(make("span", "", hintOf(view.value, view.texts)));
  else part.told.replaceChildren(...wordLine(view, shown));
}

// The photo below must not move, whatever is touched: room for the longest of what can stand here.
// The lines are measured and taken out again: left in, each touch would lay all of them out.
export function reserveDetail(view) {
  const { part, texts, value, rows } = view;
  view.reservedAt = part.detail.clientWidth;
  const places = Object.entries(rows).flatMap(([row, { words }]) => words.map((_, index) => ({ row, index })));
  const lines = places.map((place) => wordLine(view, place));
  const longest = rows.main.words.map((word) => word.text).sort((a, b) => b.length - a.length);
  const cell = longest.slice(0, MOST).map((text) => text + " " + percent(value.peak || 0, 1));
  lines.push([make("span", "", texts.here + " " + cell.join(" · "))], [make("span", "", hintOf(value, texts))]);
  part.reserved.replaceChildren(
    ...lines.map((nodes) => {
      const line = make("div", "told");
      line.append(...nodes);
      return line;
    }),
  );
  part.detail.append(part.reserved);
  const height = part.reserved.offsetHeight;
  part.reserved.remove();
  part.told.style.minHeight = height + "px";
}

function wordLine(view, place) {
  const { texts } = view;
  const word = wordAt(view, place);
  const nodes = [make("b", "", word.text)];
  if (word.known === false) nodes.push(make("span", "", texts.unknown));
  else if (word.prob !== undefined) nodes.push(make("span", "", percent(word.prob, 1)));
  if (word.copied) nodes.push(make("span", "", texts.copied));
  nodes.push(make("span", "", lookText(view, place.row, place.index)));
  return nodes;
}

// What can be covered with a click says itself that one can paint, too.
function hintOf(value, texts) {
  if (!value.paint) return texts.hint;
  return value.covers && value.covers.length ? "" : texts.paintHint;
}

function fillCell(view) {
  const looked = view.rows.main.words
    .map((word, t) => [word.text, view.rows.main.maps[t][view.cell] / 255])
    .filter(([, level]) => level > 0.15)
    .sort((a, b) => b[1] - a[1])
    .slice(0, MOST)
    .map(([text, level]) => text + " " + percent(level * view.value.peak, 1));
  const text = looked.length ? view.texts.here + " " + looked.join(" · ") : view.texts.nobody;
  view.part.told.replaceChildren(make("span", "", text));
  view.part.live.textContent = text;
}

// Doubt is mostly about the photo: it stays while one of the other sentences is looked at.
export function doubtText({ value, texts }) {
  if (!value.unsure || value.busy) return "";
  return filled(texts.unsure, { chance: percent(value.confidence) });
}

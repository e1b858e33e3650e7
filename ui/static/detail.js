// The line under the words: what is shown, or who looked at a cell.

import { filled, make, percent } from "./dom.js";
import { wordAt } from "./selection.js";
import { lookText } from "./words.js";

export function fillDetail(view) {
  const { shown, value } = view;
  const { detail } = view.part;
  const { texts } = view;
  detail.replaceChildren();
  const word = wordAt(view, shown);
  if (view.cell !== null && !word) fillCell(view);
  else if (!word) detail.append(make("span", "", hintOf(value, texts)));
  else {
    detail.append(make("b", "", word.text));
    if (word.known === false) detail.append(make("span", "", texts.unknown));
    else if (word.prob !== undefined) detail.append(make("span", "", percent(word.prob, 1)));
    if (word.copied) detail.append(make("span", "", texts.copied));
    detail.append(make("span", "", lookText(view, shown.row, shown.index)));
  }
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
    .slice(0, 5)
    .map(([text, level]) => text + " " + percent(level * view.value.peak, 1));
  const text = looked.length ? view.texts.here + " " + looked.join(" · ") : view.texts.nobody;
  view.part.detail.append(make("span", "", text));
  view.part.live.textContent = text;
}

// Doubt is mostly about the photo: it stays while one of the other sentences is looked at.
export function doubtText({ value, texts }) {
  if (!value.unsure || value.busy) return "";
  return filled(texts.unsure, { chance: percent(value.confidence) });
}

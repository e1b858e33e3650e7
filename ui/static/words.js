// The rows of words: buttons with their probability and how spread out their map is.

import { kindOf, points } from "./covering.js";
import { filled, make, percent, walk } from "./dom.js";
import { mapsOf, placeOf } from "./maps.js";
import { hover, pin, release, same, show } from "./selection.js";
import { enterTree, fillTree } from "./tree.js";

const DOUBTFUL = 0.5; // probability below which a word is marked

export function fillWords(view) {
  const { value } = view;
  const sentence = value.choices ? value.choices[view.choice] : value;
  const cells = value.grid ? value.grid[0] * value.grid[1] : 0;
  view.rows = { main: rowOf(sentence.words, sentence.maps, sentence.spread, cells) };
  if (value.links && view.choice === (value.links.card || 0)) {
    view.rows.links = rowOf(value.links.words, value.links.maps, value.links.spread, cells);
  }
  if (value.moved) {
    view.rows.moved = rowOf(value.moved.words, value.moved.maps, value.moved.spread, cells);
  }
  for (const name of ["main", "links", "moved"]) fillRow(view, name);
  fillDoubtful(view);
}

function rowOf(words, maps, spread, cells) {
  const found = (words || []).map((word) => (typeof word === "string" ? { text: word } : word));
  return { words: found, spread: spread || [], maps: mapsOf(maps, found.length, cells) };
}

function fillRow(view, name) {
  const section = view.part[name];
  const row = view.rows[name];
  section.replaceChildren();
  section.hidden = !row || (!row.words.length && !view.value.busy);
  if (section.hidden) return;
  const title = titleOf(view, name);
  if (title) section.append(make("h2", "", title));
  const group = make("div", "words");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", title || view.texts.words);
  if (name === "links" && view.value.links.language) group.lang = view.value.links.language;
  else group.lang = "en";
  row.buttons = row.words.map((word, index) => wordButton(view, name, word, index));
  row.buttons.forEach((item, index) => (item.tabIndex = index ? -1 : 0));
  group.append(...row.buttons);
  if (name === "main" && view.value.busy) group.append(make("span", "writing", view.texts.busy));
  section.append(group);
  group.addEventListener("keydown", (event) => {
    walk(event, row.buttons);
    if (event.key === "Escape") release(view);
    enterTree(view, event);
  });
  group.addEventListener("pointerleave", () => show(view, view.pinned));
}

function titleOf(view, name) {
  if (name === "main") return view.rows.moved ? view.texts.now : "";
  return { moved: view.texts.old, links: view.texts.translated }[name];
}

function wordButton(view, name, word, index) {
  const row = view.rows[name];
  const node = make("button", "word");
  node.type = "button";
  node.setAttribute("aria-pressed", "false");
  const shown = index || name === "links" ? word.text : capital(word.text);
  node.append(make("span", "text", shown));
  if (typeof word.prob === "number" && name !== "moved") node.append(gauge(view, word.prob));
  node.append(probability(name, word));
  if (word.known === false) node.classList.add("unknown");
  if (isDoubtful(word)) node.classList.add("doubtful");
  if (word.copied) node.classList.add("copied");
  if (isEdited(view, name, index)) node.classList.add("edited");
  if (word.text.startsWith("'") || word.text === "n't") node.classList.add("joined");
  node.setAttribute("aria-label", wordLabel(view, name, word, index));
  node.addEventListener("pointerenter", () => hover(view, name, index));
  node.addEventListener("focus", () => hover(view, name, index));
  node.addEventListener("blur", () => show(view, view.pinned));
  node.addEventListener("click", () => {
    pin(view, name, index);
    fillTree(view); // what is chosen in it next is of this word
  });
  return node;
}

// How many words the model would rather have said otherwise, of each sentence that is shown.
function fillDoubtful({ part, texts, value, rows }) {
  const [count, total] = doubted(rows.main);
  const [other, all] = rows.links ? doubted(rows.links) : [0, 0];
  part.doubtful.hidden = !(count + other) || Boolean(value.busy);
  const text = rows.links ? texts.doubtfulBoth : texts.doubtful;
  part.doubtful.textContent = filled(text, { count, total, other, all });
}

function doubted({ words }) {
  const known = words.filter((word) => typeof word.prob === "number");
  return [known.filter(isDoubtful).length, known.length];
}

// A bar as long as the word is probable.
function gauge(view, prob) {
  const node = make("span", "gauge");
  const bar = make("i");
  bar.style.width = (100 * prob).toFixed(1) + "%";
  node.append(bar);
  node.title = view.texts.probability;
  return node;
}

function probability(name, word) {
  if (name !== "moved") {
    return make("span", "prob", word.prob === undefined ? "" : percent(word.prob));
  }
  const node = make("span", "move");
  const change = points(word);
  const kind = kindOf(change);
  node.classList.add(kind);
  const track = make("span", "track");
  const bar = make("i");
  bar.style.height = Math.min(50, Math.abs(change || 0) / 2) + "%"; // half the track is 100 points
  track.append(bar);
  const arrow = { rose: "▲ ", fell: "▼ ", stayed: "" }[kind];
  const size = change === null ? "–" : Math.abs(change).toFixed(0);
  node.append(track, make("b", "", arrow + size));
  node.append(make("span", "prob", percent(word.prob) + " → " + percent(word.after)));
  return node;
}

// Whether a word is one of those that the model would rather have said otherwise.
function isDoubtful(word) {
  return typeof word.prob === "number" && word.prob < DOUBTFUL;
}

function isEdited(view, name, index) {
  const { edited, paint } = view.value;
  return Boolean(edited) && !paint && name === "main" && edited.word !== "." && edited.index === index;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function wordLabel(view, name, word, index) {
  const parts = [word.text];
  if (word.known === false) parts.push(view.texts.unknown);
  else if (name === "moved") parts.push(percent(word.prob) + " → " + percent(word.after));
  else if (word.prob !== undefined) parts.push(percent(word.prob));
  if (word.copied) parts.push(view.texts.copied);
  if (isEdited(view, name, index)) parts.push(view.texts.chosen);
  const where = lookText(view, name, index);
  if (where) parts.push(where);
  return parts.join(", ");
}

export function lookText(view, name, index) {
  const row = view.rows[name];
  const levels = row.maps[index];
  if (!levels || !levels.length || row.spread[index] === undefined) return "";
  const best = levels.indexOf(Math.max(...levels));
  const place = placeOf(best, view.value.grid, view.texts);
  return filled(view.texts.looked, { spread: percent(row.spread[index]), place });
}

export function light(view) {
  const { shown, value } = view;
  for (const [name, row] of Object.entries(view.rows)) {
    (row.buttons || []).forEach((node, index) => {
      const on = same(shown, { row: name, index });
      const kept = same(view.pinned, { row: name, index });
      node.classList.toggle("on", Boolean(on));
      const pressed = String(Boolean(kept));
      if (node.getAttribute("aria-pressed") !== pressed) node.setAttribute("aria-pressed", pressed);
      const lit = String(lightOf(view, name, index, row, value));
      if (node.style.getPropertyValue("--lit") !== lit) node.style.setProperty("--lit", lit);
    });
  }
}

// How much of the light a word gets, 0 to 1: from the cell pointed at, or from the word it is
// linked to.
function lightOf(view, name, index, row, value) {
  const { shown, cell } = view;
  if (cell !== null && !shown) return row.maps[index] ? (row.maps[index][cell] || 0) / 255 : 0;
  if (!shown || !value.links || shown.row === name) return 0;
  const pair = { links: [index, shown.index], main: [shown.index, index] }[name];
  if (!pair || shown.row === "moved") return 0;
  return (value.links.alignment[pair[0]] || [])[pair[1]] || 0;
}

// The places of a memory: cells over the photo, a sentence's words in a row, or both. Pointing at one
// moves it in everything that is drawn of the same memory; no number stands there by itself.

import { make } from "./dom.js";
import { coloured, linesOf, placeOf, shapeOf } from "./maps.js";

const SIDE = 336; // CSS pixels of the longer side of a drawn grid

// How a memory is laid out: so many words first, then so many cells.
export function layoutOf(memory, grid) {
  const words = memory.positions ? memory.positions.length : 0;
  const cells = memory.positions ? memory.cells || 0 : grid[0] * grid[1];
  return { words, cells, count: words + cells };
}

// A place in words: the word, or where on the photo the cell lies.
export function nameOf(view, j) {
  const { words } = view.layout;
  if (j < words) return view.memory.positions[j] || view.texts.end;
  return placeOf(j - words, view.value.grid, view.texts);
}

// What one place looks like: a cut of the photo, or the word.
export function sample(view, j) {
  const { words } = view.layout;
  if (j < words) return make("span", "piece", nameOf(view, j));
  const { grid } = view.value;
  const canvas = make("canvas", "sample");
  canvas.width = 56;
  canvas.height = 56;
  const width = view.photo.naturalWidth / grid[1];
  const height = view.photo.naturalHeight / grid[0];
  const cell = j - words;
  const [x, y] = [(cell % grid[1]) * width, Math.floor(cell / grid[1]) * height];
  canvas.getContext("2d").drawImage(view.photo, x, y, width, height, 0, 0, 56, 56);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", nameOf(view, j));
  return canvas;
}

// All places of the memory with a level each, 0 to 255 or null where nothing can be looked at.
// `point(j)` is called with the place under the pointer, null where it leaves; `draw(levels)` shows
// others, `mark(j)` rings one of them.
export function places(view, levels, label, point, small = false) {
  const { layout } = view;
  const node = make("div", small ? "memory small" : "memory");
  node.tabIndex = 0;
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", label);
  const parts = [];
  if (layout.words) parts.push(wordsPart(view, point));
  if (layout.cells) parts.push(gridPart(view, point));
  node.append(...parts.map((part) => part.node));
  node.addEventListener("pointerleave", () => point(null));
  node.addEventListener("blur", () => point(null));
  node.addEventListener("keydown", (event) => {
    const goal = stepped(view, event.key);
    if (goal === null) return;
    event.preventDefault();
    point(goal, true);
  });
  const draw = (now) => parts.forEach((part) => part.draw(now));
  draw(levels);
  return {
    node,
    draw,
    mark: (j) => parts.forEach((part) => part.mark(j)),
    add: (name, from, to) => parts.forEach((part) => part.add(name, from, to)),
    cross: (centre) => parts.forEach((part) => part.cross(centre)),
  };
}

// Where an arrow key leads from the place that is pointed at; null for any other key.
function stepped(view, key) {
  const { words, count } = view.layout;
  const columns = view.value.grid ? view.value.grid[1] : 1;
  const now = view.place === null ? view.best : view.place;
  const inGrid = now >= words;
  const down = inGrid ? columns : 1;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -down, ArrowDown: down };
  if (!(key in moves)) return null;
  return Math.min(count - 1, Math.max(0, now + moves[key]));
}

function wordsPart(view, point) {
  const { positions } = view.memory;
  const list = make("ol", "places");
  const items = positions.map((text, j) => {
    const item = make("li", "place");
    item.dataset.place = String(j);
    item.append(make("span", "text", text || view.texts.end));
    const track = make("span", "level");
    track.append(make("i"));
    item.append(track);
    item.addEventListener("pointerenter", () => point(j));
    item.addEventListener("pointerdown", () => point(j));
    return item;
  });
  list.append(...items);
  return {
    node: list,
    draw: (levels) => items.forEach((item, j) => {
      const level = levels[j];
      item.classList.toggle("shut", level === null);
      item.style.setProperty("--level", String((level || 0) / 255));
    }),
    mark: (j) => items.forEach((item, i) => item.classList.toggle("on", i === j)),
    add: (name, from, to = from) => items.forEach((item, j) => {
      if (j >= from && j <= to) item.classList.add(name);
    }),
    cross: ([place]) => {
      const near = Math.min(items.length - 1, Math.max(0, Math.round(place)));
      items[near].classList.add("centre");
    },
  };
}

function gridPart(view, point) {
  const { grid } = view.value;
  const { words } = view.layout;
  const node = make("div", "grid");
  const canvas = make("canvas");
  const ring = make("div", "ring");
  ring.hidden = true;
  node.append(canvas, ring);
  const [wide, high] = shapeOf(view.photo);
  const aspect = wide / high;
  node.style.setProperty("--aspect", String(aspect));
  canvas.width = 2 * (aspect >= 1 ? SIDE : Math.round(SIDE * aspect));
  canvas.height = 2 * (aspect >= 1 ? Math.round(SIDE / aspect) : SIDE);
  const cellOf = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width));
    const y = Math.min(0.999, Math.max(0, (event.clientY - box.top) / box.height));
    return words + Math.floor(y * grid[0]) * grid[1] + Math.floor(x * grid[1]);
  };
  for (const name of ["pointermove", "pointerdown"]) {
    canvas.addEventListener(name, (event) => point(cellOf(event)));
  }
  return {
    node,
    draw: (levels) => drawGrid(view, canvas, levels.slice(words)),
    mark: (j) => {
      ring.hidden = j === null || j < words;
      if (!ring.hidden) lay(ring, grid, j - words, j - words);
    },
    add: (name, from, to = from) => {
      if (from < words) return;
      const over = make("div", name);
      lay(over, grid, from - words, to - words);
      node.append(over);
    },
    cross: ([row, column]) => {
      if (column === undefined) return; // of a sentence's words
      const cross = make("div", "centre");
      cross.style.left = (100 * (column + 0.5)) / grid[1] + "%";
      cross.style.top = (100 * (row + 0.5)) / grid[0] + "%";
      node.append(cross);
    },
  };
}

// Lays an element over the cells of a rectangle, from its first to its last.
function lay(node, [h, w], from, to) {
  const [top, left] = [Math.floor(from / w), from % w];
  const [bottom, right] = [Math.floor(to / w), to % w];
  node.style.left = (100 * left) / w + "%";
  node.style.top = (100 * top) / h + "%";
  node.style.width = (100 * (right - left + 1)) / w + "%";
  node.style.height = (100 * (bottom - top + 1)) / h + "%";
}

function drawGrid(view, canvas, levels) {
  const { grid } = view.value;
  const pen = canvas.getContext("2d");
  const heat = coloured(levels.map((level) => level || 0), grid[1], grid[0]);
  pen.globalAlpha = 1;
  pen.drawImage(view.grey, 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = 0.7;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(heat, 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = 0.75;
  pen.fillStyle = "#000";
  const [width, height] = [canvas.width / grid[1], canvas.height / grid[0]];
  levels.forEach((level, j) => {
    if (level !== null) return; // nothing can be looked at there
    pen.fillRect((j % grid[1]) * width, Math.floor(j / grid[1]) * height, width, height);
  });
  pen.globalAlpha = 1;
  linesOf(pen, grid, canvas.width, canvas.height);
}

// Inside one step: query, scores, softmax, weighted sum, next word, with this sentence's own
// numbers. The memory is a photo's grid or a sentence's pieces.

import { filled, goalOf, make, percent, valueOf } from "./dom.js";
import { coloured, greyOf, linesOf, placeOf } from "./maps.js";

const SIDE = 336; // CSS pixels of the longer side of a drawn grid
const TOP = 5; // places and words that are listed

export function start(page) {
  const view = { ...page, value: {}, step: 0, head: 0, photo: null, grey: null };
  render(view);
  page.watch("value", () => render(view));
}

function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace("-", "−");
}

function whole(value) {
  return value === null || value === undefined ? "–" : value.toFixed(0).replace("-", "−");
}

function render(view) {
  const root = view.element.querySelector(".steps");
  const value = valueOf(view.props);
  const fresh = value.photo !== view.value.photo;
  view.value = value;
  view.step = Math.min(view.step, Math.max(0, (value.steps || []).length - 1));
  root.replaceChildren(make("p", "waiting", view.texts.waiting));
  if (!value.steps || !value.steps.length) {
    view.photo = null;
    root.append(make("p", "empty", view.texts.empty));
    return;
  }
  root.append(wordsOf(view, value));
  const heads = value.memories[0].lengths.length;
  view.head = Math.min(view.head, heads - 1);
  if (heads > 1) root.append(headsOf(view, heads));
  view.cards = make("div", "cards");
  root.append(view.cards, make("p", "honest", view.texts.honest));
  if (!value.photo || (!fresh && view.photo)) fill(view);
  else load(view, value.photo);
}

function load(view, source) {
  const picture = new Image();
  picture.onload = () => {
    if (source !== view.value.photo) return;
    view.photo = picture;
    view.grey = greyOf(picture, picture.naturalWidth, picture.naturalHeight);
    fill(view);
  };
  picture.src = source;
}

function wordsOf(view, value) {
  const labels = value.words.map((text) => text || view.texts.end);
  const group = row(view, "words", view.texts.words, "step", labels);
  value.words.forEach((text, index) => {
    if (text) group.children[index].lang = value.language || "en";
  });
  return group;
}

function headsOf(view, count) {
  const names = Array.from({ length: count }, (_, i) => filled(view.texts.head, { number: i + 1 }));
  return row(view, "heads", view.texts.heads, "head", names);
}

// A row of buttons of which one is pressed; the arrow keys walk over them. `key` names what they
// choose in the view.
function row(view, name, label, key, labels) {
  const group = make("div", name);
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", label);
  const buttons = labels.map((text) => make("button", "word", text));
  const choose = (index) => {
    view[key] = index;
    mark();
    fill(view);
  };
  const mark = () => buttons.forEach((button, place) => {
    button.setAttribute("aria-pressed", String(place === view[key]));
    button.tabIndex = place === view[key] ? 0 : -1;
  });
  buttons.forEach((button, index) => {
    button.type = "button";
    button.addEventListener("click", () => choose(index));
  });
  group.append(...buttons);
  group.addEventListener("keydown", (event) => {
    const goal = goalOf(event.key, view[key], buttons.length);
    if (goal === null) return;
    event.preventDefault();
    choose(goal);
    buttons[view[key]].focus();
  });
  mark();
  return group;
}

// The step that is chosen, as the head that is chosen sees it.
function stepShown(view) {
  const step = view.value.steps[view.step];
  return { ...step, scores: step.scores[view.head], weights: step.weights[view.head] };
}

// What it looks at: the photo's cells, or the sentence that is being translated.
function memory(view) {
  return view.value.memories[view.value.steps[view.step].memory];
}

function fill(view) {
  const step = stepShown(view);
  const finite = step.scores.filter((score) => Number.isFinite(score));
  view.low = Math.min(...finite);
  view.high = Math.max(...finite);
  view.total = finite.reduce((sum, score) => sum + Math.exp(score - view.high), 0);
  view.cards.replaceChildren(
    queryCard(view, step),
    scoresCard(view, step),
    softmaxCard(view, step),
    sumCard(view, step),
    nextCard(view, step),
  );
  follow(view, null);
}

function card(order, title, text) {
  const node = make("section", "card");
  const heading = make("h2");
  heading.append(make("span", "order", String(order)), make("span", "", title));
  node.append(heading, make("p", "", text));
  return node;
}

function queryCard(view, step) {
  const read = step.read ? "“" + step.read + "”" : view.texts.start;
  const values = { read, size: step.query_size, length: number(step.query_length) };
  const node = card(1, view.texts.query, filled(view.texts.queryText, values));
  node.append(strip(view, step.query, step.query_size), figures(step.query));
  return node;
}

function scoresCard(view, step) {
  const values = { low: number(view.low), high: number(view.high) };
  const node = card(2, view.texts.scores, filled(view.texts.scoresText, values));
  const spread = Math.max(1e-9, view.high - view.low);
  const levels = step.scores.map((score) => (200 * (score - view.low)) / spread);
  node.append(places(view, levels, step.scores.map(number), step.scores.map(whole)));
  return node;
}

function softmaxCard(view, step) {
  const node = card(3, view.texts.softmax, view.texts.softmaxText);
  const peak = Math.max(...step.weights);
  const levels = step.weights.map((weight) => (230 * weight) / peak);
  node.append(places(view, levels, step.weights.map((weight) => (100 * weight).toFixed(1))));
  view.formula = make("p", "formula");
  node.append(view.formula);
  return node;
}

function sumCard(view, step) {
  const count = memory(view).lengths.length;
  const text = count > 1 ? view.texts.sumHeads : view.texts.sumText;
  const node = card(4, view.texts.sum, filled(text, { count, size: step.context_size }));
  const order = step.weights.map((weight, j) => [weight, j]).sort((a, b) => b[0] - a[0]);
  const list = make("ul");
  for (const [weight, j] of order.slice(0, TOP)) {
    const item = make("li");
    item.append(sample(view, j), make("span", "", percent(weight, 1) + " × v"));
    item.append(make("sub", "", String(j + 1)));
    item.append(make("small", "", "‖v‖ = " + number(memory(view).lengths[view.head][j])));
    list.append(item);
  }
  const rest = order.slice(TOP);
  if (rest.length) {
    const share = rest.reduce((sum, [weight]) => sum + weight, 0);
    const item = make("li");
    item.append(make("span", "", "+ " + percent(share, 1)));
    item.append(make("small", "", filled(view.texts.more, { count: rest.length })));
    list.append(item);
  }
  node.append(list, strip(view, step.context, step.context_size), figures(step.context));
  if (step.gate !== null) node.append(make("p", "", filled(view.texts.gate, { gate: number(step.gate) })));
  return node;
}

function nextCard(view, step) {
  const word = view.value.words[view.step] || view.texts.end;
  const node = card(5, view.texts.next, filled(view.texts.nextText, { word }));
  const list = make("ul", "bars");
  for (const [text, prob] of step.next) {
    const shown = text || view.texts.end;
    const item = make("li", shown === word ? "said" : "");
    const bar = make("i");
    bar.style.width = (100 * prob).toFixed(1) + "%";
    item.append(make("span", "text", shown), make("span", "track"), make("b", "", percent(prob, 1)));
    item.querySelector(".track").append(bar);
    list.append(item);
  }
  node.append(list);
  return node;
}

// A vector as a strip of colours, and its first numbers

function strip(view, values, size) {
  const canvas = make("canvas", "strip");
  canvas.width = values.length;
  canvas.height = 1;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", filled(view.texts.strip, { shown: values.length, size }));
  canvas.title = canvas.getAttribute("aria-label");
  const most = Math.max(1e-9, ...values.map(Math.abs));
  const pen = canvas.getContext("2d");
  values.forEach((value, i) => {
    const strength = Math.abs(value) / most;
    pen.fillStyle = value < 0 ? "rgb(37, 99, 235)" : "rgb(217, 119, 6)";
    pen.globalAlpha = 0.08 + 0.92 * strength;
    pen.fillRect(i, 0, 1, 1);
  });
  return canvas;
}

function figures(values) {
  return make("p", "figures", "[" + values.slice(0, 5).map(number).join(", ") + ", …]");
}

// The memory's places: cells over the photo, or words in a row. Where the cells are too narrow for
// the labels, the short ones stand there.

function places(view, levels, labels, short = labels) {
  const { positions } = memory(view);
  if (!positions) return gridOf(view, levels, labels, short);
  const list = make("ol", "places");
  positions.forEach((text, j) => {
    const item = make("li", "place");
    item.dataset.place = String(j);
    item.style.setProperty("--level", String(levels[j] / 255));
    item.append(make("span", "text", text || view.texts.end), make("small", "", labels[j]));
    item.addEventListener("pointerenter", () => follow(view, j));
    list.append(item);
  });
  list.addEventListener("pointerleave", () => follow(view, null));
  return list;
}

function gridOf(view, levels, labels, short) {
  const { grid } = view.value;
  const canvas = make("canvas", "grid");
  const aspect = view.photo.naturalWidth / view.photo.naturalHeight;
  const scale = 2;
  canvas.width = scale * (aspect >= 1 ? SIDE : Math.round(SIDE * aspect));
  canvas.height = scale * (aspect >= 1 ? Math.round(SIDE / aspect) : SIDE);
  const pen = canvas.getContext("2d");
  const heat = coloured(levels, grid[1], grid[0]);
  pen.drawImage(view.grey, 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = 0.7;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(heat, 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = 1;
  linesOf(pen, grid, canvas.width, canvas.height);
  const [width, height] = [canvas.width / grid[1], canvas.height / grid[0]];
  const size = Math.min(width / 2.6, height / 1.5, 26);
  pen.font = size + "px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  if (size > 12) {
    const widest = Math.max(...labels.map((text) => pen.measureText(text).width));
    (widest < 0.95 * width ? labels : short).forEach((text, j) => {
      pen.fillStyle = levels[j] > 165 ? "#111" : "#fff";
      pen.fillText(text, ((j % grid[1]) + 0.5) * width, (Math.floor(j / grid[1]) + 0.5) * height);
    });
  }
  canvas.setAttribute("role", "img");
  const best = levels.indexOf(Math.max(...levels));
  canvas.setAttribute("aria-label", labels[best] + ", " + placeOf(best, grid, view.texts));
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width));
    const y = Math.min(0.999, Math.max(0, (event.clientY - box.top) / box.height));
    follow(view, Math.floor(y * grid[0]) * grid[1] + Math.floor(x * grid[1]));
  });
  canvas.addEventListener("pointerleave", () => follow(view, null));
  return canvas;
}

// The softmax of one place in figures: the one that is pointed at, or the largest.
function follow(view, place) {
  const step = stepShown(view);
  const j = place === null ? step.weights.indexOf(Math.max(...step.weights)) : place;
  const score = step.scores[j];
  if (score === undefined || !view.formula) return;
  view.formula.replaceChildren(make("span", "", "α"), make("sub", "", String(j + 1)));
  const top = Number.isFinite(score) ? Math.exp(score - view.high) : 0;
  const shares = number(top) + " / " + number(view.total);
  const text = " = exp(e − max e) / Σ = exp(" + number(score - view.high) + ") / " +
    number(view.total) + " = " + shares + " = " + percent(step.weights[j], 1);
  view.formula.append(make("span", "", text));
}

// What one place looks like: a cut of the photo, or the word.
function sample(view, j) {
  const { positions } = memory(view);
  if (positions) return make("span", "piece", positions[j] || view.texts.end);
  const { grid } = view.value;
  const canvas = make("canvas", "sample");
  canvas.width = 56;
  canvas.height = 56;
  const width = view.photo.naturalWidth / grid[1];
  const height = view.photo.naturalHeight / grid[0];
  const [x, y] = [(j % grid[1]) * width, Math.floor(j / grid[1]) * height];
  canvas.getContext("2d").drawImage(view.photo, x, y, width, height, 0, 0, 56, 56);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", placeOf(j, grid, view.texts));
  return canvas;
}

// Inside one step: query, scores, softmax, weighted sum, next word, with this sentence's own numbers.
// The memory is a photo's grid, a sentence's pieces, or both. A slider leads through the words; the
// place that is pointed at moves in all cards; nobody but the browser is asked.

import { filled, goalOf, make, valueOf } from "./dom.js";
import { greyOf } from "./maps.js";
import { layoutOf } from "./places.js";
import { amongCard, nextCard, queryCard, scoresCard, softmaxCard, sumCard } from "./stepcards.js";
import { vectorsOf } from "./vectors.js";

export function start(page) {
  const view = { ...page, value: {}, number: 0, look: 0, place: null, photo: null, grey: null };
  render(view);
  page.watch("value", () => render(view));
}

function render(view) {
  const root = view.element.querySelector(".steps");
  const value = valueOf(view.props);
  const fresh = value.photo !== view.value.photo;
  view.value = value;
  view.place = null;
  view.number = Math.min(view.number, Math.max(0, (value.steps || []).length - 1));
  root.replaceChildren(make("p", "waiting", view.texts.waiting));
  if (!value.steps || !value.steps.length) {
    view.photo = null;
    if (value.error) root.append(errorOf(value.error));
    root.append(make("p", "empty", view.texts.empty));
    return;
  }
  view.look = Math.min(view.look, value.family.looks.length - 1);
  view.cards = make("div", "cards");
  view.live = make("p", "live");
  view.live.setAttribute("aria-live", "polite");
  root.append(headOf(view, root), view.cards, make("p", "honest", view.texts.honest), view.live);
  if (!value.photo || (!fresh && view.photo)) fill(view);
  else load(view, value.photo);
}

// What went wrong stands where the steps would.
function errorOf(error) {
  const line = make("p", "error", window.captionerPage.say(error));
  line.setAttribute("role", "alert");
  return line;
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

// The words with a slider below them, the heads, and the way to a whole screen.
function headOf(view, root) {
  const head = make("div", "head");
  const words = wordsOf(view);
  const slider = make("input", "slider");
  const range = { type: "range", min: 0, max: view.value.steps.length - 1, step: 1 };
  Object.assign(slider, range);
  slider.value = String(view.number);
  slider.setAttribute("aria-label", view.texts.slider);
  view.go = (number) => {
    view.number = number;
    slider.value = String(number);
    slider.setAttribute("aria-valuetext", nameOfStep(view, number));
    words.mark();
    fill(view);
  };
  slider.setAttribute("aria-valuetext", nameOfStep(view, view.number));
  slider.addEventListener("input", () => view.go(Number(slider.value)));
  const line = make("div", "line");
  line.append(slider);
  if (document.fullscreenEnabled) line.append(wholeScreen(view, root));
  head.append(words.node, line);
  if (view.value.family.looks.length > 1) head.append(looksOf(view));
  return head;
}

function nameOfStep(view, number) {
  return view.value.words[number] || view.texts.end;
}

function wholeScreen(view, root) {
  const button = make("button", "tool", view.texts.fullScreen);
  button.type = "button";
  button.addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else root.requestFullscreen();
  });
  root.onfullscreenchange = () => {
    const on = document.fullscreenElement === root;
    button.textContent = on ? view.texts.leaveFullScreen : view.texts.fullScreen;
  };
  return button;
}

function wordsOf(view) {
  const labels = view.value.words.map((text) => text || view.texts.end);
  const choose = (index) => view.go(index);
  const found = row("words", view.texts.words, labels, () => view.number, choose);
  view.value.words.forEach((text, index) => {
    if (text) found.node.children[index].lang = view.value.language || "en";
  });
  return found;
}

// The looks of a step, head by head and, in a Transformer, layer by layer.
function looksOf(view) {
  const { looks } = view.value.family;
  const { texts } = view;
  const names = looks.map(([layer, head]) =>
    layer ? filled(texts.layerHead, { layer, head }) : filled(texts.head, { number: head }),
  );
  const found = row("heads", texts.heads, names, () => view.look, (index) => {
    view.look = index;
    found.mark();
    fill(view);
  });
  return found.node;
}

// A row of buttons of which one is pressed; the arrow keys walk over them.
function row(name, label, labels, now, choose) {
  const node = make("div", name);
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", label);
  const buttons = labels.map((text) => make("button", "word", text));
  const mark = () => buttons.forEach((button, place) => {
    button.setAttribute("aria-pressed", String(place === now()));
    button.tabIndex = place === now() ? 0 : -1;
  });
  buttons.forEach((button, index) => {
    button.type = "button";
    button.addEventListener("click", () => choose(index));
  });
  node.append(...buttons);
  node.addEventListener("keydown", (event) => {
    const goal = goalOf(event.key, now(), buttons.length);
    if (goal === null) return;
    event.preventDefault();
    choose(goal);
    buttons[now()].focus();
  });
  mark();
  return { node, mark };
}

// What the cards are about: the step, the look and the memory that are chosen.
function choose(view) {
  const { value } = view;
  const { looks } = value.family;
  const layers = [...new Set(looks.map(([layer]) => layer))];
  view.step = value.steps[view.number];
  view.memory = value.memories[view.step.memory];
  view.layout = layoutOf(view.memory, value.grid);
  view.part = layers.indexOf(looks[view.look][0]); // of what several layers asked and found
  view.heads = looks.length / layers.length;
  view.scores = view.step.scores[view.look];
  view.weights = view.step.weights[view.look];
  const finite = view.scores.filter((score) => score !== null);
  view.low = Math.min(...finite);
  view.high = Math.max(...finite);
  view.best = view.weights.indexOf(Math.max(...view.weights));
  if (view.place !== null && view.place >= view.layout.count) view.place = null;
  view.vectors = vectorsOf(view.memory.vectors, view.layout.count);
}

function fill(view) {
  choose(view);
  const point = (place, aloud) => follow(view, place, aloud);
  const cards = [
    amongCard(view, point),
    queryCard(view),
    scoresCard(view, point),
    softmaxCard(view, point),
    sumCard(view, point),
    nextCard(view),
  ].filter(Boolean);
  view.followers = cards.map((card) => card.follow).filter(Boolean);
  view.cards.replaceChildren(...cards.map((card) => card.node));
  follow(view, view.place);
}

// All cards show one place: the one that is pointed at, or the one that is looked at most.
function follow(view, place, aloud = false) {
  view.place = place;
  view.shown = place === null ? view.best : place;
  for (const each of view.followers) each(view.shown);
  view.cards.classList.toggle("pointing", place !== null);
  if (!aloud) return;
  const lines = [...view.cards.querySelectorAll(".readout")].map((line) => line.textContent);
  view.live.textContent = lines.slice(-2).join(" · ");
}

// The viewer: a photo, its words as buttons, and the map of the word that is touched drawn over the
// photo here in the browser. The page and the downloaded HTML file both run it. Data only ever
// becomes text nodes and pixels.

import { buildAlt, fillAlt } from "./alt.js";
import { fillCards } from "./cards.js";
import { buildCovering, fillCovering, recordTrial } from "./covering.js";
import { buildDetail, doubtText, fillDetail, reserveDetail } from "./detail.js";
import { make, valueOf } from "./dom.js";
import { fillEdit } from "./edit.js";
import { keepingFocus } from "./focus.js";
import { beckon, follow } from "./hand.js";
import { viewBefore } from "./kept.js";
import { isStretched } from "./maps.js";
import { draw, load, warmUp } from "./picture.js";
import { listenToPhoto } from "./pointing.js";
import { stop, wordAt } from "./selection.js";
import { buildTools, fillLegend, fillLink } from "./tools.js";
import { buildTree, fillTree, fillTreeSoon } from "./tree.js";
import { fillWords, light } from "./words.js";

export function start(page) {
  const view = {
    ...page,
    value: {},
    photo: null, // the picture, once it is decoded
    grey: null,
    rows: { main: { words: [], maps: [], buttons: [] } }, // by name
    choice: 0, // the card that is shown
    shown: null, // {row, index}: whose map lies over the photo now
    pinned: null,
    branch: null, // the word whose tree is shown
    cell: null, // the cell pointed at
    mean: false,
    cells: false,
    opacity: 0.55,
    player: null,
    strokes: [],
    stroke: null,
    byCell: false,
    covered: null, // the word whose look is covered with a click
    trials: {}, // what the clicks cost it, by word
    tried: "", // the sentence that they are about
    heats: new Map(),
    lastIndex: 0, // of the word whose alternative was chosen
    original: "", // the sentence, before a person corrects it as alternative text
    part: {}, // the elements, by what they hold
  };
  view.draw = () => draw(view);
  view.fill = () => {
    fillWords(view);
    fillAlt(view);
    reserveDetail(view);
  };
  // What each touch of a word changes; all else waits.
  view.update = () => {
    fillDetail(view);
    light(view);
    follow(view);
    draw(view);
    if (view.value.paint) fillCovering(view);
    else fillTreeSoon(view);
  };
  build(view);
  begin(view, viewBefore(view.element));
  page.watch("value", () => keepingFocus(view, () => render(view)));
}

// What the server sent with the page, or what the tab showed before. Gradio puts the server's value
// in its place once more after the start.
function begin(view, before) {
  if (!before) return render(view);
  return setTimeout(() => {
    view.props.value = before;
    render(view);
  });
}

function build(view) {
  const { part } = view;
  const root = view.element.querySelector(".viewer");
  root.replaceChildren();
  part.root = root;
  root.tabIndex = -1; // for the focus, where nothing else is left
  part.empty = make("p", "empty", view.texts.empty);
  part.waiting = make("p", "waiting", view.texts.waiting);
  part.error = make("p", "error");
  part.error.setAttribute("role", "alert");
  part.body = make("div", "body");
  part.moved = make("section", "line moved");
  part.main = make("section", "line main");
  part.links = make("section", "line links");
  part.edit = make("p", "edit");
  part.doubtful = make("p", "doubtful");
  part.doubt = make("p", "doubt");
  part.frame = make("div", "frame");
  part.canvas = make("canvas", "photo");
  part.canvas.tabIndex = 0;
  part.canvas.setAttribute("role", "img");
  part.frame.append(part.canvas);
  part.tools = make("div", "tools");
  part.choices = make("section", "choices");
  part.honest = make("p", "honest");
  part.live = make("p", "live");
  part.live.setAttribute("aria-live", "polite");
  buildAlt(view);
  buildDetail(view);
  buildCovering(view);
  buildTree(view);
  part.body.append(part.moved, part.main, part.links, part.edit, part.doubt, part.doubtful);
  part.scene = make("div", "scene");
  part.scene.append(part.frame, part.tree);
  part.body.append(part.detail, part.cover, part.scene);
  part.body.append(part.tools, part.alt, part.choices, part.honest, part.live);
  root.append(part.waiting, part.error, part.empty, part.body);
  buildTools(view);
  listenToPhoto(view);
}

function render(view) {
  if (!view.element.contains(view.part.root)) build(view);
  const { part, texts } = view;
  const value = valueOf(view.props);
  const fresh = value.photo !== view.value.photo;
  const busy = Boolean(value.busy);
  view.value = value;
  part.root.classList.toggle("ready", Boolean(value.photo));
  part.root.classList.toggle("painting", Boolean(value.paint));
  part.root.classList.toggle("busy", busy);
  // What is painted on must not move when the words about it come.
  if (value.paint && part.body.firstChild !== part.scene) part.body.prepend(part.scene, part.tools, part.cover);
  if (fresh) forget(view);
  if (value.paint && !value.moved && !view.asking) view.strokes = [];
  view.choice = value.choice || 0;
  recordTrial(view);
  fillError(part, value);
  view.heats.clear();
  view.fill();
  fillLegend(view);
  fillLink(view);
  const idle = busy || !view.rows.main.words.length;
  for (const button of [part.play, part.mean]) button.disabled = idle;
  fillCards(view);
  fillEdit(view);
  const honest = [value.paint ? texts.causal : texts.honest];
  if (value.size && isStretched(value.size)) honest.push(texts.stretched);
  part.honest.textContent = honest.join(" ");
  part.honest.hidden = !value.words || (!value.words.length && !value.paint);
  part.doubt.textContent = doubtText(view);
  part.doubt.hidden = !part.doubt.textContent;
  part.canvas.setAttribute("aria-label", labelOf(view));
  if (!busy && value.caption && value.caption !== view.announced) announce(view, value);
  if (busy && view.rows.main.words.length) {
    view.shown = { row: "main", index: view.rows.main.words.length - 1 };
  } else if (!view.pinned || !wordAt(view, view.pinned)) {
    view.pinned = null;
    view.shown = null;
  } else view.shown = view.pinned;
  view.update();
  fillCovering(view);
  fillTree(view);
  if (fresh && value.photo) load(view, value.photo);
  if (!busy) warmUp(view);
  beckon(view);
  const written = Boolean(value.words && value.words.length);
  if (written && !view.written) bringIntoView(view);
  view.written = written;
}

// What went wrong stands where the words would.
function fillError(part, value) {
  const say = window.captionerPage ? window.captionerPage.say : String;
  part.error.textContent = value.error ? say(value.error) : "";
  part.error.hidden = !value.error;
  part.root.classList.toggle("wrong", Boolean(value.error));
  part.root.dataset.example = value.example || "";
}

// On a phone the caption appears below the fold.
function bringIntoView(view) {
  if (view.value.opening) return;
  if (window.innerWidth >= 760 || view.value.offline) return;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  view.part.root.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

// Whoever hears the page is told what has been written, once it is whole.
function announce(view, value) {
  view.announced = value.caption;
  view.part.live.textContent = [value.caption, doubtText(view)].filter(Boolean).join(" ");
}

function labelOf({ value, texts }) {
  return (value.paint ? texts.paintable : texts.photo) + (value.caption ? " " + value.caption : "");
}

function forget(view) {
  stop(view);
  view.photo = null;
  view.grey = null;
  view.pinned = null;
  view.cell = null;
  view.written = false;
  view.announced = "";
  view.strokes = [];
  view.branch = null;
  view.covered = null;
  view.trials = {};
  view.tried = "";
  view.mean = false;
  view.part.mean.setAttribute("aria-pressed", "false");
}

// A hand that shows what can be done: it touches each word once, and then waits at one of them.

import { make } from "./dom.js";
import { play } from "./selection.js";

const PAUSE = 1200; // milliseconds until the first word is touched
const SHAPE =
  "M9 11.2V4.6a1.6 1.6 0 0 1 3.2 0v5l6 1.1c1.2.2 2 1.3 1.8 2.5l-.7 4.3c-.3 1.9-1.9 3.3-3.8 3.3h-3.1" +
  "c-1.2 0-2.4-.6-3.1-1.6L5 13.9c-.5-.8-.3-1.8.5-2.3.8-.5 1.7-.3 2.3.4z";

export function beckon(view) {
  const opening = Boolean(view.value.opening) && !view.value.offline;
  if (!opening) dismiss(view);
  if (!opening || view.beckoned || !view.rows.main.buttons) return;
  view.beckoned = true;
  view.hand = handOf();
  rest(view);
  for (const name of ["pointerover", "pointerdown", "focusin", "keydown"]) {
    view.part.body.addEventListener(name, (event) => {
      if (event.target.closest(".words, canvas, .tools")) dismiss(view);
    });
  }
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  setTimeout(() => view.hand && play(view), PAUSE);
}

export function follow(view) {
  if (!view.hand) return;
  if (view.player && view.shown) view.rows.main.buttons[view.shown.index].append(view.hand);
  else if (!view.player) rest(view);
}

function handOf() {
  const hand = make("canvas", "hand");
  [hand.width, hand.height] = [72, 72];
  hand.setAttribute("aria-hidden", "true");
  const pen = hand.getContext("2d");
  const shape = new Path2D(SHAPE);
  pen.scale(3, 3);
  pen.fillStyle = "#fff";
  pen.strokeStyle = "#1c2128";
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.fill(shape);
  pen.stroke(shape);
  return hand;
}

// At a word that names a thing: one that was recognised, or the one whose map is the most pointed.
function rest(view) {
  const { spread, buttons, words } = view.rows.main;
  const named = words.findIndex((word) => word.copied);
  const most = named >= 0 ? named : spread.indexOf(Math.min(...spread));
  if (buttons && buttons[most]) buttons[most].append(view.hand);
}

function dismiss(view) {
  if (!view.hand) return;
  view.hand.remove();
  view.hand = null;
}

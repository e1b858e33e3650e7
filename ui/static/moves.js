// What the attention's own kind does in a step, drawn where it happens: a window, a glimpse, the share
// that looks at nothing, what has been looked at before, the photo's and the sentence's share.

import { filled, make, percent } from "./dom.js";

const FORMULAS = {
  additive: "e_j = vᵀ tanh(W q + U k_j)",
  dot: "e_j = q · k_j",
  scaled_dot: "e_j = q · k_j / √d",
  general: "e_j = qᵀ W k_j",
  cosine: "e_j = τ · cos(q, k_j)",
  location: "e_j = (W q)_j",
};
const COVERED = "e_j = vᵀ tanh(W q + U k_j + w Σα_j)";

export function formulaOf({ score, coverage }) {
  return coverage ? COVERED : FORMULAS[score];
}

// A number that the kind says of this step, of the head that is chosen or of all together.
export function extra(view, name) {
  const rows = view.step.extras[name];
  if (!rows) return null;
  return rows[Math.min(view.look, rows.length - 1)];
}

// How much each place has been looked at before this step, as the score is told.
export function covered(view) {
  const before = view.value.steps.slice(0, view.number).filter((s) => s.memory === view.step.memory);
  return view.step.weights[view.look].map((_, j) =>
    before.reduce((sum, step) => sum + step.weights[view.look][j], 0),
  );
}

// The window around which nothing can be looked at, and its centre.
export function drawWindow(view, drawn) {
  const centre = extra(view, "centre") || extra(view, "photo_centre");
  if (!centre) return;
  const open = view.scores.flatMap((score, j) => (score === null ? [] : [j]));
  const { words, cells } = view.layout;
  const groups = [open.filter((j) => j < words), open.filter((j) => j >= words)];
  for (const group of groups) {
    const whole = group === groups[0] ? words : cells;
    if (group.length && group.length < whole) drawn.add("window", group[0], group[group.length - 1]);
  }
  for (const name of ["centre", "photo_centre"]) if (extra(view, name)) drawn.cross(extra(view, name));
}

// Lines that tell what this kind of attention did here.
export function told(view) {
  const { texts } = view;
  const { kind, decode } = view.value.family;
  const lines = [];
  if (kind === "local_m") lines.push(texts.windowMoves);
  if (kind === "local_p") lines.push(texts.windowPredicted);
  const passed = extra(view, "passed");
  if (passed) lines.push(filled(texts.passed, { share: percent(passed[0]) }));
  if (kind === "hard") lines.push({ argmax: texts.glimpseBest, sample: texts.glimpseDrawn }[decode] || texts.glimpseNone);
  return lines.map((text) => make("p", "move", text));
}

// Where a glimpse fell; null where all places are weighed.
export function glimpse(view) {
  const place = extra(view, "glimpse");
  return place && place[0] >= 0 ? place[0] : null;
}

// Bars of shares that together are 1: sentinel and memory, or photo and sentence.
export function shares(view) {
  const { texts } = view;
  const sentinel = extra(view, "sentinel");
  const photo = extra(view, "photo_share");
  const found = [];
  if (sentinel) {
    found.push(barOf([[texts.sentinel, sentinel[0], "none"], [texts.memory, 1 - sentinel[0], "some"]]));
    found.push(make("p", "move", texts.sentinelText));
  }
  if (photo && view.layout.cells) {
    found.push(barOf([[texts.sentence, 1 - photo[0], "none"], [texts.photo, photo[0], "some"]]));
    const text = view.value.family.combination === "flat" ? texts.flat : texts.hierarchical;
    found.push(make("p", "move", text));
  }
  return found;
}

function barOf(parts) {
  const bar = make("div", "shares");
  const first = Math.round(100 * parts[0][1]); // the other is what is left of 100
  const told = [`${first} %`, `${100 - first} %`];
  for (const [index, [name, share, kind]] of parts.entries()) {
    const part = make("span", kind);
    part.style.flexGrow = String(Math.max(0.001, share));
    part.append(make("b", "", name), make("span", "share", told[index]));
    bar.append(part);
  }
  return bar;
}

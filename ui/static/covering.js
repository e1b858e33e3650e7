// One click covers where a word looked, another as much elsewhere; what the two cost, in one sentence.

import { filled, make } from "./dom.js";
import { repaint } from "./painting.js";
import { tool } from "./tools.js";

export const NOTABLE = 3; // points; smaller moves are noise

export function buildCovering(view) {
  const { part, texts } = view;
  part.cover = make("section", "cover");
  part.cover.setAttribute("aria-label", texts.coverHint);
  part.looked = tool("", false, () => cover(view, "looked"));
  part.elsewhere = tool(texts.coverElsewhere, false, () => cover(view, "elsewhere"));
  part.coverHint = make("span", "cover-hint", texts.coverHint);
  part.meaning = make("p", "meaning");
  part.meaning.setAttribute("aria-live", "polite");
  part.trials = make("div", "trials");
  const line = make("div", "line");
  line.append(part.looked, part.elsewhere, part.coverHint);
  part.cover.append(line, part.meaning, part.trials);
}

// The old words, which are asked about: they stand in a row of their own once something is covered.
function oldRow(view) {
  return view.rows.moved ? "moved" : "main";
}

// The word whose look is covered: the one that a person chose, or the one that looked closest.
export function wordToCover(view) {
  const { pinned, value } = view;
  if (pinned && pinned.row === oldRow(view)) view.covered = pinned.index;
  const count = (value.covers || []).length;
  return Math.min(view.covered === null ? value.suggested || 0 : view.covered, count - 1);
}

function cover(view, kind) {
  const index = wordToCover(view);
  const cells = view.value.covers[index][kind];
  view.covered = index;
  repaint(view, () => {
    view.strokes = cells.map((cell) => ({ cell }));
  }, { index, kind });
}

// Whole points that a word of the old sentence moved by, so that what is grey is what says less than
// NOTABLE; null where it has no probability.
export function points(word) {
  if (typeof word.prob !== "number" || typeof word.after !== "number") return null;
  return Math.round(100 * (word.after - word.prob));
}

// Keeps what came out of a click, for as long as the sentence stays the same.
export function recordTrial(view) {
  const { value } = view;
  const sentence = (value.moved || value).caption;
  if (sentence !== view.tried) view.trials = {};
  if (sentence !== view.tried && view.tried) view.covered = null;
  view.tried = sentence;
  if (!value.moved || !value.covering) return;
  const { index, kind } = value.covering;
  const change = points(value.moved.words[index]);
  if (change !== null) view.trials[index] = { ...view.trials[index], [kind]: change };
}

export function fillCovering(view) {
  const { part, texts, value } = view;
  part.cover.hidden = !value.paint || !(value.covers || []).length;
  if (part.cover.hidden) return;
  const index = wordToCover(view);
  const word = (value.moved || value).words[index].text;
  const { covering } = value;
  const own = covering && covering.index === index;
  part.looked.textContent = filled(texts.coverLooked, { word });
  part.looked.setAttribute("aria-pressed", String(Boolean(own) && covering.kind === "looked"));
  part.elsewhere.setAttribute("aria-pressed", String(Boolean(own) && covering.kind === "elsewhere"));
  part.elsewhere.disabled = !value.covers[index].elsewhere.length;
  part.elsewhere.title = part.elsewhere.disabled ? texts.noRoom : "";
  const said = value.moved ? meaning(view, index, word) : "";
  if (part.meaning.textContent !== said) part.meaning.textContent = said;
  part.meaning.hidden = !said;
  fillTrials(view, view.trials[index] || {});
}

function shown(change) {
  return Math.abs(change).toFixed(0);
}

// What it means, in one sentence.
function meaning(view, index, word) {
  const { texts, value } = view;
  const { looked, elsewhere } = view.trials[index] || {};
  const clicked = value.covering && value.covering.index === index;
  if (!clicked) return meaningOfPaint(view);
  if (looked !== undefined && elsewhere !== undefined) {
    const values = { word, looked: signed(looked), elsewhere: signed(elsewhere) };
    if (looked <= -NOTABLE && looked < elsewhere - NOTABLE) return filled(texts.needed, values);
    const small = Math.abs(looked) < NOTABLE && Math.abs(elsewhere) < NOTABLE;
    return filled(small ? texts.indifferent : texts.anywhere, values);
  }
  if (looked === undefined) return filled(texts.control, { word, points: signed(elsewhere || 0) });
  const text = looked <= -NOTABLE ? texts.lost : looked >= NOTABLE ? texts.gained : texts.kept;
  return filled(text, { word, points: shown(looked) });
}

function meaningOfPaint({ value, texts }) {
  const changes = value.moved.words.map((word) => [points(word) || 0, word.text]);
  const [change, word] = changes.sort((a, b) => Math.abs(b[0]) - Math.abs(a[0]))[0];
  if (Math.abs(change) < NOTABLE) return texts.unmoved;
  return filled(change < 0 ? texts.fell : texts.rose, { word, points: shown(change) });
}

function fillTrials(view, trial) {
  const { part, texts } = view;
  part.trials.replaceChildren();
  part.trials.hidden = trial.looked === undefined || trial.elsewhere === undefined;
  if (part.trials.hidden) return;
  for (const [name, change] of [[texts.trialLooked, trial.looked], [texts.trialElsewhere, trial.elsewhere]]) {
    const line = make("div", "trial");
    const track = make("span", "track");
    const bar = make("i", kindOf(change));
    bar.style.width = Math.min(100, Math.abs(change)) + "%";
    track.append(bar);
    line.append(make("span", "name", name), track, make("b", kindOf(change), signed(change)));
    part.trials.append(line);
  }
}

export function kindOf(change) {
  if (change === null || Math.abs(change) < NOTABLE) return "stayed";
  return change < 0 ? "fell" : "rose";
}

export function signed(change) {
  const text = Math.abs(change).toFixed(0);
  return text === "0" ? "0" : (change < 0 ? "−" : "+") + text;
}

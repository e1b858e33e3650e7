// The cards of one step. Each gives its element and, where the pointed place matters to it, `follow`.

import { filled, make, percent } from "./dom.js";
import { covered, drawWindow, extra, formulaOf, glimpse, shares, told } from "./moves.js";
import { nameOf, places, sample } from "./places.js";
import { number, strip } from "./vectors.js";

const TOP = 6; // places that are listed

const NAMES = ["among", "query", "scores", "softmax", "sum", "next"];

function card(order, title, ...lines) {
  const node = make("section", "card " + NAMES[order]);
  const heading = make("h2");
  heading.append(make("span", "order", String(order)), make("span", "", title));
  node.append(heading, ...lines.filter(Boolean).map((line) => make("p", "", line)));
  return node;
}

// A line that only says something of the place that is pointed at.
function readout(node) {
  const line = make("p", "readout");
  node.append(line);
  return line;
}

function indexed(letter, j) {
  const node = make("span", "", letter);
  node.append(make("sub", "", String(j + 1)));
  return node;
}

// A formula whose "_j" stand below the line.
function equation(text) {
  const node = make("p", "equation");
  for (const [place, part] of text.split("_j").entries()) {
    if (place) node.append(make("sub", "", "j"));
    node.append(make("span", "", part));
  }
  return node;
}

// What the places looked at in one another before anything was asked.
export function amongCard(view, point) {
  const own = view.layout.words ? view.memory.between : view.memory.among;
  if (!own) return null;
  const texts = view.layout.words ? view.texts.betweenText : view.texts.amongText;
  const node = card(0, view.texts.among, texts);
  const count = view.layout.words || view.layout.cells;
  const levels = Uint8Array.from(atob(own.bytes), (character) => character.charCodeAt(0));
  const chosen = { layer: own.layers - 1, head: 0 };
  const rowOf = (j) => {
    const first = ((chosen.layer * own.heads + chosen.head) * count + j) * count;
    return Array.from(levels.slice(first, first + count));
  };
  if (own.layers * own.heads > 1) node.append(choiceOf(view, own, chosen, () => follow(view.shown)));
  const whole = (row) => (view.layout.words ? [...row, ...Array(view.layout.cells).fill(0)] : row);
  const drawn = places(view, whole(rowOf(0)), view.texts.among, point);
  node.append(drawn.node);
  const line = readout(node);
  const follow = (j) => {
    const from = Math.min(j, count - 1);
    const row = rowOf(from);
    const most = Math.max(1, ...row);
    drawn.draw(whole(row.map((level) => (230 * level) / most)));
    drawn.mark(from);
    const best = row.indexOf(most);
    const share = percent((most / 255) * own.top, 1);
    line.textContent = filled(view.texts.amongBest, { one: nameOf(view, from), other: nameOf(view, best), share });
  };
  return { node, follow };
}

// Layers and heads of the self-attention, in one list.
function choiceOf(view, own, chosen, changed) {
  const label = make("label", "choice", "");
  const select = make("select");
  for (let layer = own.layers - 1; layer >= 0; layer -= 1) {
    for (let head = 0; head < own.heads; head += 1) {
      const name = filled(view.texts.layerHead, { layer: layer + 1, head: head + 1 });
      const option = make("option", "", own.heads > 1 ? name : filled(view.texts.layer, { layer: layer + 1 }));
      option.value = layer + " " + head;
      select.append(option);
    }
  }
  select.setAttribute("aria-label", view.texts.looks);
  select.addEventListener("change", () => {
    [chosen.layer, chosen.head] = select.value.split(" ").map(Number);
    changed();
  });
  label.append(select);
  return label;
}

export function queryCard(view) {
  const { texts, step, value } = view;
  const { decoder, query, fed } = value.family;
  const read = step.first ? texts.start : "“" + step.read + "”";
  const [layer] = value.family.looks[view.look];
  const asks = decoder === "transformer" ? texts.queryLayer : query === "before" ? texts.queryBefore : texts.queryAfter;
  const node = card(1, texts.query, filled(asks, { read, layer }));
  const asked = step.queries[view.part];
  node.append(strip(view, asked.first, asked.size, "q").node);
  if (!fed) return { node };
  const before = value.steps[view.number - 1];
  node.append(make("p", "move", view.step.first || !before ? texts.fedFirst : texts.fed));
  if (!step.first && before) {
    const [{ first, size }] = before.contexts;
    node.append(strip(view, first, size, texts.context).node);
  }
  return { node };
}

export function scoresCard(view, point) {
  const { texts, value } = view;
  const node = card(2, texts.scores, value.family.score === "location" ? texts.scoresPlace : texts.scoresText);
  node.append(equation(formulaOf(value.family)));
  const span = Math.max(1e-9, view.high - view.low);
  const levels = view.scores.map((score) => (score === null ? null : 20 + (190 * (score - view.low)) / span));
  const drawn = places(view, levels, texts.scores, point);
  drawWindow(view, drawn);
  node.append(drawn.node);
  const line = readout(node);
  const looked = value.family.coverage ? covered(view) : null;
  if (looked) {
    const most = Math.max(0.3, ...looked);
    const small = places(view, looked.map((sum) => (230 * sum) / most), texts.coverage, point, true);
    node.append(make("p", "move", texts.coverageText), small.node);
  }
  const follow = (j) => {
    drawn.mark(j);
    line.replaceChildren(indexed("e", j), make("span", "", " = " + number(view.scores[j])));
    if (looked) line.append(make("span", "", " · Σα = " + number(looked[j])));
    line.append(make("small", "", nameOf(view, j)));
  };
  return { node, follow };
}

export function softmaxCard(view, point) {
  const { texts } = view;
  const node = card(3, texts.softmax, texts.softmaxText);
  node.append(equation("α_j = exp(e_j) / Σ exp(e)"));
  const peak = Math.max(...view.weights);
  const levels = view.weights.map((weight, j) => (view.scores[j] === null ? null : (230 * weight) / peak));
  const drawn = places(view, levels, texts.softmax, point);
  drawWindow(view, drawn);
  const seen = glimpse(view);
  if (seen !== null) drawn.add("glimpse", seen);
  node.append(drawn.node);
  const line = readout(node);
  node.append(...told(view), ...shares(view));
  const follow = (j) => {
    drawn.mark(j);
    line.replaceChildren(indexed("α", j), make("span", "", " = " + fraction(view, j) + percent(view.weights[j], 1)));
    line.append(make("small", "", nameOf(view, j)));
  };
  return { node, follow };
}

// "exp(1.20 − 3.00) / 4.20 = 0.17 / 4.20 = ", with the share of its memory where two are looked at.
function fraction(view, j) {
  const score = view.scores[j];
  if (score === null) return "";
  const { words } = view.layout;
  const apart = view.value.family.combination === "hierarchical" && view.layout.cells && words;
  const own = apart ? view.scores.filter((_, i) => i < words === j < words) : view.scores;
  const finite = own.filter((other) => other !== null);
  const high = Math.max(...finite);
  const total = finite.reduce((sum, other) => sum + Math.exp(other - high), 0);
  const photo = extra(view, "photo_share");
  const share = apart && photo ? number(j < words ? 1 - photo[0] : photo[0]) + " × " : "";
  const most = high < 0 ? "(" + number(high) + ")" : number(high);
  return share + "exp(" + number(score) + " − " + most + ") / " + number(total) + " = ";
}

export function sumCard(view, point) {
  const { texts, step } = view;
  const { count } = view.layout;
  const heads = view.heads;
  const seen = glimpse(view);
  const text = seen !== null ? texts.sumGlimpse : heads > 1 ? texts.sumHeads : texts.sumText;
  const node = card(4, texts.sum, filled(text, { count: heads }));
  const order = view.weights.map((weight, j) => [weight, j]).sort((a, b) => b[0] - a[0]);
  const list = make("ul", "parts");
  const best = order[0][0];
  const items = new Map();
  const listed = seen === null ? order.slice(0, TOP) : [[1, seen]];
  for (const [weight, j] of listed) {
    const item = make("li");
    const bar = make("i");
    bar.style.width = (100 * weight) / Math.max(best, listed[0][0]) + "%";
    item.append(sample(view, j), bar);
    item.title = nameOf(view, j) + ", " + percent(weight, 1);
    for (const name of ["pointerenter", "pointerdown"]) item.addEventListener(name, () => point(j));
    items.set(j, item);
    list.append(item);
  }
  list.addEventListener("pointerleave", () => point(null));
  if (count > TOP && seen === null) list.append(make("li", "more", filled(texts.more, { count: count - TOP })));
  const { vectors } = view.memory;
  const one = strip(view, view.vectors(view.look, view.best), vectors.of, "v", view.memory.vectors.top);
  const found = step.contexts[view.part];
  const sum = strip(view, found.first, found.size, texts.context);
  node.append(list, one.node, make("p", "plus", "Σ ↓"), sum.node);
  if (step.gate !== null) node.append(make("p", "move", filled(texts.gate, { gate: percent(step.gate) })));
  const follow = (j) => {
    items.forEach((item, i) => item.classList.toggle("on", i === j));
    const weight = seen === null ? view.weights[j] : Number(j === seen);
    one.draw(view.vectors(view.look, j), percent(weight, 1) + " × v" + subscript(j + 1) + " · " + nameOf(view, j));
  };
  return { node, follow };
}

function subscript(value) {
  return [...String(value)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[Number(digit)]).join("");
}

export function nextCard(view) {
  const { texts, step } = view;
  const word = view.value.words[view.number] || texts.end;
  const node = card(5, texts.next, filled(texts.nextText, { word }));
  const list = make("ul", "bars");
  list.tabIndex = 0; // whoever has no pointer sees the numbers while it has the focus
  list.setAttribute("aria-label", texts.next);
  for (const [text, prob] of step.next) {
    const shown = text || texts.end;
    const item = make("li", shown === word ? "said" : "");
    const bar = make("i");
    bar.style.width = (100 * prob).toFixed(1) + "%";
    item.append(make("span", "text", shown), make("span", "track"), make("b", "", percent(prob, 1)));
    item.querySelector(".track").append(bar);
    list.append(item);
  }
  node.append(list);
  return { node };
}

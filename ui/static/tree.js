// What else the model could have said at a word: the path it chose, and the branches it did not take.

import { make, percent } from "./dom.js";
import { hover, show, wordAt } from "./selection.js";

const ROW = 34; // CSS pixels of a branch
const FORK = 44; // of the curves before them
const MOST = 5; // branches
const BEFORE = 4; // words of the path that are shown

export function buildTree(view) {
  const { part, texts } = view;
  part.tree = make("aside", "tree");
  part.tree.setAttribute("aria-label", texts.tree);
  part.path = make("p", "path");
  part.curves = make("canvas", "curves");
  part.curves.setAttribute("aria-hidden", "true");
  part.branches = make("ol", "branches");
  part.branches.setAttribute("role", "list");
  part.treeHint = make("p", "tree-hint", texts.treeHint);
  const fork = make("div", "fork");
  fork.append(part.curves, part.branches);
  part.tree.append(make("h2", "", texts.tree), part.path, fork, part.treeHint);
  part.tree.addEventListener("pointerenter", () => {
    if (view.branch) hover(view, view.branch.row, view.branch.index);
  });
  part.tree.addEventListener("pointerleave", () => show(view, view.pinned));
  part.tree.addEventListener("focusin", () => {
    if (view.branch) hover(view, view.branch.row, view.branch.index);
  });
  part.tree.addEventListener("keydown", (event) => walkBranches(view, event));
}

// The map first: the tree beside it waits until that frame is painted.
export function fillTreeSoon(view) {
  if (view.treeDue) return;
  view.treeDue = requestAnimationFrame(() => setTimeout(() => view.treeDue && fillTree(view)));
}

// The tree of the word that is shown; it stays when the pointer leaves for the tree itself.
export function fillTree(view) {
  const { part, shown, value } = view;
  view.treeDue = null;
  if (shown && wordAt(view, shown) && shown.row !== "moved") view.branch = shown;
  if (!view.branch || !wordAt(view, view.branch)) view.branch = unsurest(view);
  const branches = view.branch ? branchesOf(view) : [];
  part.tree.hidden = Boolean(value.paint) || !branches.length; // of one branch, too: nothing moves
  const sentence = view.rows.main.words.map((word) => word.text).join(" ");
  const drawn = JSON.stringify([view.branch, branches, sentence, Boolean(value.busy)]);
  if (part.tree.hidden || drawn === view.drawnTree) return;
  view.drawnTree = drawn;
  draw(view, branches);
}

// Where nothing was touched yet: the word that it was least sure of.
function unsurest(view) {
  const { words } = view.rows.main;
  const known = words.flatMap((word, index) => (typeof word.prob === "number" ? [[word.prob, index]] : []));
  if (!known.length) return null;
  return { row: "main", index: known.sort((a, b) => a[0] - b[0])[0][1] };
}

// The words that could stand there, likeliest first, the chosen one among them.
function branchesOf(view) {
  const { index } = view.branch;
  const word = wordAt(view, view.branch);
  const others = (word.alternatives || []).filter(
    ([text]) => text !== word.text && (text !== "." || index > 0),
  );
  const all = others.map(([text, prob]) => ({ text, prob, chosen: false }));
  const known = typeof word.prob === "number";
  const chosen = { text: word.text, prob: known ? word.prob : null, chosen: true };
  const kept = all.slice(0, MOST - 1);
  return [chosen, ...kept].sort((a, b) => (b.prob || 0) - (a.prob || 0));
}

function draw(view, branches) {
  const { part, texts, branch } = view;
  const { words } = view.rows[branch.row];
  const before = words.slice(Math.max(0, branch.index - BEFORE), branch.index).map((word) => word.text);
  part.path.textContent = (branch.index > BEFORE ? "… " : "") + (before.join(" ") || texts.begin);
  const after = words.slice(branch.index + 1).map((word) => word.text).join(" ");
  part.branches.replaceChildren(...branches.map((one) => branchOf(view, one, after)));
  drawCurves(part.curves, branches);
  part.treeHint.hidden = !isOpen(view);
}

function isOpen(view) {
  return view.branch.row === "main" && !view.value.offline && !view.value.fixed;
}

function branchOf(view, { text, prob, chosen }, after) {
  const { texts, branch } = view;
  const item = make("li", chosen ? "chosen" : "");
  const open = isOpen(view) && !chosen;
  const node = make(open ? "button" : "span", open ? "other" : "other fixed");
  const ends = text === "." && branch.row === "main";
  node.append(make("span", "text", ends ? texts.end : text), make("span", "prob", percent(prob)));
  item.lang = (branch.row === "links" && view.value.links.language) || "en";
  item.append(node);
  if (chosen && after) item.append(make("span", "after", after));
  if (!open) return item;
  node.type = "button";
  node.title = ends ? texts.gone : texts.goOn;
  node.addEventListener("click", () => {
    const before = view.rows.main.words.slice(0, branch.index).map((entry) => entry.text);
    view.lastIndex = branch.index;
    view.pinned = null;
    view.trigger("select", { before, word: text });
  });
  return item;
}

// A curve to each branch, as thick as it is probable.
function drawCurves(canvas, branches) {
  const scale = 2;
  const height = ROW * branches.length;
  canvas.width = scale * FORK;
  canvas.height = scale * height; // which also empties it
  canvas.style.width = FORK + "px";
  canvas.style.height = height + "px";
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const ordered = branches.map((one, place) => ({ ...one, place })).sort((a, b) => a.chosen - b.chosen);
  for (const { prob, chosen, place } of ordered) {
    const y = (place + 0.5) * ROW;
    pen.strokeStyle = chosen ? "#c2660c" : "#8b949e";
    pen.lineWidth = 1.5 + 6 * (prob || 0);
    pen.beginPath();
    pen.moveTo(8, 0);
    pen.bezierCurveTo(8, y * 0.8, 14, y, FORK, y);
    pen.stroke();
  }
}

// From a word into its tree, and back.
export function enterTree(view, event) {
  if (event.key !== "ArrowDown") return;
  if (view.treeDue) fillTree(view);
  if (view.part.tree.hidden) return;
  const first = view.part.tree.querySelector("button");
  if (!first) return;
  event.preventDefault();
  first.focus();
}

function walkBranches(view, event) {
  const buttons = [...view.part.tree.querySelectorAll("button")];
  const now = buttons.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape" || (step === -1 && now === 0)) {
    event.preventDefault();
    const { row, index } = view.branch;
    view.rows[row].buttons[index].focus();
  } else if (step && buttons[now + step]) {
    event.preventDefault();
    buttons[now + step].focus();
  }
}

// Pointing at the photo, with a pointer or with the arrow keys.

import { beginStroke, coverCell, endStroke, extendStroke, repaint } from "./painting.js";
import { show, stop } from "./selection.js";

function pointed(view, event) {
  const box = view.part.canvas.getBoundingClientRect();
  const x = Math.min(0.9999, Math.max(0, (event.clientX - box.left) / box.width));
  const y = Math.min(0.9999, Math.max(0, (event.clientY - box.top) / box.height));
  return [x, y];
}

function cellAt(view, [x, y]) {
  const [h, w] = view.value.grid;
  return Math.floor(y * h) * w + Math.floor(x * w);
}

function point(view, cell) {
  if (!view.value.grid || view.cell === cell) return;
  view.cell = cell;
  if (!view.pinned) view.shown = null;
  view.update();
}

export function listenToPhoto(view) {
  const { canvas } = view.part;
  canvas.addEventListener("pointermove", (event) => {
    if (!view.value.grid) return;
    if (view.stroke) extendStroke(view, pointed(view, event));
    else if (!view.value.paint) point(view, cellAt(view, pointed(view, event)));
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (!view.value.grid) return;
    const place = pointed(view, event);
    if (view.value.paint) beginStroke(view, event, place, cellAt(view, place));
    else {
      stop(view);
      view.pinned = null;
      point(view, cellAt(view, place));
    }
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => endStroke(view));
  const leave = () => {
    if (view.stroke) return;
    view.cell = null;
    show(view, view.pinned);
  };
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("keydown", (event) => moveOverCells(view, event));
}

function moveOverCells(view, event) {
  if (!view.value.grid) return;
  const [h, w] = view.value.grid;
  const cell = view.cell === null ? Math.floor(h / 2) * w + Math.floor(w / 2) : view.cell;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -w, ArrowDown: w };
  if (event.key in steps) {
    event.preventDefault();
    const goal = cell + steps[event.key];
    const sideways = Math.abs(steps[event.key]) === 1;
    const stays = !sideways || Math.floor(goal / w) === Math.floor(cell / w);
    if (view.cell === null) point(view, cell);
    else if (goal >= 0 && goal < h * w && stays) point(view, goal);
  } else if (view.value.paint && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    point(view, cell);
    repaint(view, () => coverCell(view, cell));
  }
}

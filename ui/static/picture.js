// The photo with what lies over it: a map, the cells' lines, what was painted.

import { greyOf, heatOf, linesOf, shapeOf } from "./maps.js";
import { drawStrokes } from "./painting.js";
import { wordAt } from "./selection.js";

export function load(view, source) {
  const picture = new Image();
  picture.onload = () => {
    if (source !== view.value.photo) return; // another photo came meanwhile
    const [width, height] = shapeOf(picture);
    view.part.canvas.width = width;
    view.part.canvas.height = height;
    view.part.canvas.style.aspectRatio = width + " / " + height;
    view.part.frame.style.setProperty("--aspect", String(width / height));
    view.photo = picture;
    view.grey = greyOf(picture, width, height);
    draw(view);
  };
  picture.src = source;
}

// The maps as pictures, made one by one while nothing else happens: the first touch is instant.
export function warmUp(view) {
  const { value } = view;
  const waiting = Object.values(view.rows).flatMap((row) => row.maps);
  const later = window.requestIdleCallback || ((act) => setTimeout(act, 30));
  const next = () => {
    if (view.value !== value || !waiting.length) return;
    heatFor(view, waiting.shift());
    later(next);
  };
  later(next);
}

export function draw(view) {
  if (!view.photo) return;
  const { width, height } = view.part.canvas;
  const pen = view.part.canvas.getContext("2d");
  const levels = levelsShown(view);
  pen.globalAlpha = 1;
  pen.drawImage(levels ? view.grey : view.photo, 0, 0, width, height);
  drawStrokes(view, pen, width, height);
  if (levels) {
    pen.globalAlpha = view.opacity;
    pen.imageSmoothingEnabled = !view.cells;
    pen.drawImage(heatFor(view, levels), 0, 0, width, height);
    pen.imageSmoothingEnabled = true;
    pen.globalAlpha = 1;
  }
  const gridded = (levels && view.cells) || (view.value.paint && view.byCell);
  if (gridded && view.value.grid) linesOf(pen, view.value.grid, width, height);
  if (view.cell !== null && view.value.grid) outline(view, pen, width, height);
}

function levelsShown(view) {
  const word = wordAt(view, view.shown);
  if (word) return view.rows[view.shown.row].maps[view.shown.index];
  if (!view.mean || !view.rows.main.words.length) return null;
  const { maps } = view.rows.main;
  return Float32Array.from(maps[0], (_, i) => maps.reduce((s, m) => s + m[i], 0) / maps.length);
}

function heatFor(view, levels) {
  const kept = view.heats.get(levels);
  if (kept && kept.cells === view.cells) return kept.canvas;
  const canvas = heatOf(levels, view.value.grid, view.cells);
  view.heats.set(levels, { cells: view.cells, canvas });
  return canvas;
}

function outline(view, pen, width, height) {
  const [h, w] = view.value.grid;
  pen.strokeStyle = "#fff";
  pen.lineWidth = Math.max(2, width / 320);
  pen.shadowColor = "#000";
  pen.shadowBlur = pen.lineWidth * 2;
  const x = ((view.cell % w) * width) / w;
  const y = (Math.floor(view.cell / w) * height) / h;
  pen.strokeRect(x, y, width / w, height / h);
  pen.shadowBlur = 0;
}

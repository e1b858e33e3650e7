// Maps as pictures: shared by all viewers. One colour scale, and no weight that no cell has.

import { INFERNO } from "./colours.js";
import { make } from "./dom.js";

const SURFACE = 192; // pixels of a smoothed map's side; the browser enlarges it further
const LONGEST = 6; // times as long as it is wide that a photo is drawn, or as wide as it is long
const LEAST = 64; // pixels of the longer side of what a photo is drawn on

export function isStretched([width, height]) {
  return Math.max(width / height, height / width) > LONGEST;
}

// [width, height] on which a photo is drawn. A line of pixels is stretched, or nobody could see or
// point at what lies on it; a speck is enlarged, or the map over it would have no more pixels.
export function shapeOf({ naturalWidth: width, naturalHeight: height }) {
  const sides = [Math.max(width, height / LONGEST), Math.max(height, width / LONGEST)];
  const scale = Math.max(1, LEAST / Math.max(...sides));
  return sides.map((side) => Math.round(side * scale));
}

function bytesOf(text) {
  return Uint8Array.from(atob(text || ""), (character) => character.charCodeAt(0));
}

// The maps of a sentence: T arrays of h·w levels, 0 to 255, 255 being the shared peak.
export function mapsOf(text, count, cells) {
  const bytes = bytesOf(text);
  return Array.from({ length: count }, (_, t) => bytes.slice(t * cells, (t + 1) * cells));
}

// Catmull-Rom weights of four cells for every pixel along one side, cut off at the border.
function taps(pixels, cells) {
  const kernel = (x) => {
    const d = Math.abs(x);
    if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
    return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
  };
  return Array.from({ length: pixels }, (_, pixel) => {
    const centre = ((pixel + 0.5) * cells) / pixels - 0.5;
    const first = Math.floor(centre) - 1;
    const found = [0, 1, 2, 3]
      .map((k) => [first + k, kernel(centre - first - k)])
      .filter(([cell]) => cell >= 0 && cell < cells);
    const total = found.reduce((sum, [, weight]) => sum + weight, 0);
    return found.map(([cell, weight]) => [cell, weight / total]);
  });
}

// A bicubic surface (SURFACE × SURFACE) through the cells' centres, within their extremes.
function surfaceOf(levels, [h, w]) {
  const across = taps(SURFACE, w);
  const down = taps(SURFACE, h);
  const rows = new Float32Array(h * SURFACE);
  for (let y = 0; y < h; y += 1) {
    for (let x = 0; x < SURFACE; x += 1) {
      let sum = 0;
      for (const [cell, weight] of across[x]) sum += weight * levels[y * w + cell];
      rows[y * SURFACE + x] = sum;
    }
  }
  const low = Math.min(...levels);
  const high = Math.max(...levels);
  const surface = new Float32Array(SURFACE * SURFACE);
  for (let y = 0; y < SURFACE; y += 1) {
    for (let x = 0; x < SURFACE; x += 1) {
      let sum = 0;
      for (const [cell, weight] of down[y]) sum += weight * rows[cell * SURFACE + x];
      surface[y * SURFACE + x] = Math.min(high, Math.max(low, sum));
    }
  }
  return surface;
}

export function coloured(levels, width, height) {
  const canvas = make("canvas");
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(width, height);
  for (let i = 0; i < levels.length; i += 1) {
    const colour = 3 * Math.min(255, Math.max(0, Math.round(levels[i])));
    pixels.data[4 * i] = INFERNO[colour];
    pixels.data[4 * i + 1] = INFERNO[colour + 1];
    pixels.data[4 * i + 2] = INFERNO[colour + 2];
    pixels.data[4 * i + 3] = 255;
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

// A map as a small coloured picture, to be enlarged over the photo.
export function heatOf(levels, grid, cells) {
  if (cells) return coloured(levels, grid[1], grid[0]);
  return coloured(surfaceOf(levels, grid), SURFACE, SURFACE);
}

export function greyOf(picture, width, height) {
  const canvas = make("canvas");
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(picture, 0, 0, width, height);
  const pixels = pen.getImageData(0, 0, width, height);
  const { data } = pixels;
  for (let i = 0; i < data.length; i += 4) {
    const light = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
    data[i] = light;
    data[i + 1] = light;
    data[i + 2] = light;
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

export function linesOf(pen, [h, w], width, height) {
  pen.strokeStyle = "rgba(255, 255, 255, 0.35)";
  pen.lineWidth = Math.max(1, width / 700);
  pen.beginPath();
  for (let column = 1; column < w; column += 1) {
    pen.moveTo((column * width) / w, 0);
    pen.lineTo((column * width) / w, height);
  }
  for (let row = 1; row < h; row += 1) {
    pen.moveTo(0, (row * height) / h);
    pen.lineTo(width, (row * height) / h);
  }
  pen.stroke();
}

// Where on the photo a cell lies, in words.
export function placeOf(cell, [h, w], texts) {
  const y = (Math.floor(cell / w) + 0.5) / h;
  const x = ((cell % w) + 0.5) / w;
  const rows = [texts.top, texts.middle, texts.bottom];
  const columns = [texts.left, texts.centre, texts.right];
  const [row, column] = [Math.min(2, Math.floor(3 * y)), Math.min(2, Math.floor(3 * x))];
  if (row === 1 && column === 1) return texts.inTheMiddle;
  return rows[row] + " " + columns[column];
}

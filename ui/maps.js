// Maps as pictures: shared by all viewers. The same promises as in captioner/pictures/scale.py hold: one
// colour scale, only the map has colour, and no weight that no cell has.

const INFERNO = Uint8Array.from(
  atob(
    "AAADAAAEAAAGAQAHAQEJAQELAgEOAgIQAwISBAMUBAMWBQQYBgQbBwUdCAYfCQYhCgcjCwcmDQgoDggqDwktEAkvEgoyEwo0FAs2Fgs5Fws7GQs+GgtAHAxDHQxFHwxHIAxKIgtMJAtOJgtQJwtSKQtUKwpWLQpYLgpaMApcMgldNAlfNQlgNwlhOQliOwlkPAllPglmQAlmQQlnQwpoRQppRgppSAtqSgtqSwxrTQxrTw1sUA1sUg5sUw5tVQ9tVw9tWBBtWhFtWxFuXRJuXxJuYBNuYhRuYxRuZRVuZhVuaBZuahduaxdubRhubhhucBluchltcxptdRttdhtteBxtehxtex1sfR1sfh5sgB9rgR9rgyBrhSBqhiFqiCFqiSJpiyJpjSNpjiRokCRokSVnkyVnlSZmliZmmCdlmShkmyhknCljniljoCpioSthoythpCxgpixfpy1fqS5eqy5drC9crjBbrzFbsTFasjJZtDNYtTNXtzRWuDVWujZVuzdUvTdTvjhSvzlRwTpQwjtPxDxOxT1Nxz5MyD5LyT9Ky0BJzEFIzUJHz0RG0EVE0UZD0kdC1EhB1UlA1ko/10s+2U092k4720863FA53VI43lM331Q24FY04lcz41gy5Fox5Vsw5lwu5l4t518s6GEr6WIq6mQo62Un7Gcm7Wgl7Woj7mwi720h8G8f8HAe8XId8nQc8nUa83cZ83kY9HoW9XwV9X4U9oAS9oER94MQ94UO+IcN+IgM+IoL+YwJ+Y4I+ZAI+pEH+pMG+pUG+pcG+5kG+5sG+50G+54H+6AH+6II+6QK+6YL+6gN+6oO+6wQ+64S+7AU+7EW+7MY+7Ua+7cc+7ke+rsh+r0j+r8l+sEo+cMq+cUs+ccv+Mkx+Ms0+M03988699E89tM/9tVC9ddF9dlI9NtL9NxP895S8+BW8+JZ8uRd8uZg8ehk8elo8ets8e1w8e508fB58fJ98vOB8vSF8/aJ9PeN9fiR9vqV9/uZ+fyd+v2g/P6k"
  ),
  (character) => character.charCodeAt(0),
); // matplotlib's, 256 colours, R G B each
const KOREAN = (document.documentElement.lang || navigator.language || "en").startsWith("ko");
const SURFACE = 192; // pixels of a smoothed map's side; the browser enlarges it further

function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
}

function percent(share, digits = 0) {
  if (share === null || share === undefined) return "–";
  if (share > 0 && share < 0.005 && digits === 0) return "<1 %";
  if (share > 0.995 && share < 1 && digits === 0) return ">99 %";
  return (100 * share).toFixed(digits) + " %";
}

function bytesOf(text) {
  return Uint8Array.from(atob(text || ""), (character) => character.charCodeAt(0));
}

// The maps of a sentence: T arrays of h·w levels, 0 to 255, 255 being the shared peak.
function mapsOf(text, count, cells) {
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

function coloured(levels, width, height) {
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
function heatOf(levels, grid, cells) {
  if (cells) return coloured(levels, grid[1], grid[0]);
  return coloured(surfaceOf(levels, grid), SURFACE, SURFACE);
}

function greyOf(picture, width, height) {
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

function linesOf(pen, [h, w], width, height) {
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
function placeOf(cell, [h, w]) {
  const y = (Math.floor(cell / w) + 0.5) / h;
  const x = ((cell % w) + 0.5) / w;
  const rows = KOREAN ? ["위", "가운데", "아래"] : ["top", "middle", "bottom"];
  const columns = KOREAN ? ["왼쪽", "가운데", "오른쪽"] : ["left", "centre", "right"];
  const [row, column] = [Math.min(2, Math.floor(3 * y)), Math.min(2, Math.floor(3 * x))];
  if (row === 1 && column === 1) return KOREAN ? "한가운데" : "centre";
  return rows[row] + " " + columns[column];
}

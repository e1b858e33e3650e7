// Vectors as strips of colours, blue below zero and orange above; a number only under the pointer,
// or where the arrow keys have led.

import { filled, goalOf, make } from "./dom.js";

export function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace("-", "−");
}

// The beginnings of the vectors of a memory: v(head, place) gives an array of numbers.
export function vectorsOf({ bytes, top, size }, places) {
  const raw = Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
  const whole = new DataView(raw.buffer);
  return (head, place) => Array.from({ length: size }, (_, i) => {
    const at = 2 * ((head * places + place) * size + i);
    return (whole.getInt16(at, true) / 32767) * top;
  });
}

// A strip with a line below it, where the number under the pointer stands. Drawn anew, it keeps
// its scale where one is given: what is longer is stronger.
export function strip(view, values, size, name, top = 0) {
  const node = make("div", "vector");
  const canvas = make("canvas", "strip");
  canvas.setAttribute("role", "img");
  canvas.tabIndex = 0;
  const told = make("span", "told");
  const label = make("span", "name", name);
  const line = make("div", "under");
  line.append(label, told);
  node.append(canvas, line);
  let shown = [];
  let now = null; // the number that is told
  const tell = (at) => {
    now = at;
    const value = at === null ? "" : number(shown[at]);
    told.textContent = at === null ? "" : filled(view.texts.entry, { at: at + 1, size, value });
  };
  const draw = (drawn, title) => {
    shown = drawn;
    canvas.width = Math.max(1, drawn.length);
    canvas.height = 1;
    const most = Math.max(1e-9, top || Math.max(...drawn.map(Math.abs)));
    const pen = canvas.getContext("2d");
    drawn.forEach((value, i) => {
      pen.fillStyle = value < 0 ? "rgb(37, 99, 235)" : "rgb(217, 119, 6)";
      pen.globalAlpha = 0.06 + 0.94 * Math.min(1, Math.abs(value) / most);
      pen.fillRect(i, 0, 1, 1);
    });
    if (title) label.textContent = title;
    const text = filled(view.texts.strip, { shown: drawn.length, size });
    canvas.setAttribute("aria-label", label.textContent + ". " + text);
    tell(null);
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const share = Math.min(0.9999, Math.max(0, (event.clientX - box.left) / box.width));
    tell(Math.floor(share * shown.length));
  });
  canvas.addEventListener("keydown", (event) => {
    const goal = goalOf(event.key, now === null ? -1 : now, shown.length);
    if (goal === null) return;
    event.preventDefault();
    tell(goal);
    view.live.textContent = label.textContent + ": " + told.textContent;
  });
  for (const name of ["pointerleave", "blur"]) canvas.addEventListener(name, () => tell(null));
  draw(values, name);
  return { node, draw };
}

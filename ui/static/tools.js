// The buttons below the photo, and the scale of the colours.

import { make, percent } from "./dom.js";
import { coloured } from "./maps.js";
import { repaint } from "./painting.js";
import { play, stop } from "./selection.js";

export function tool(text, pressed, act) {
  const button = make("button", "tool", text);
  button.type = "button";
  if (pressed !== null) button.setAttribute("aria-pressed", String(pressed));
  button.addEventListener("click", act);
  return button;
}

export function buildTools(view) {
  const { part, texts } = view;
  part.play = tool(texts.play, false, () => (view.player ? stop(view) : play(view)));
  part.mean = tool(texts.mean, false, () => {
    stop(view);
    view.mean = !view.mean;
    part.mean.setAttribute("aria-pressed", String(view.mean));
    view.draw();
  });
  part.smooth = tool(texts.cells, false, () => {
    view.cells = !view.cells;
    part.smooth.setAttribute("aria-pressed", String(view.cells));
    view.draw();
  });
  const label = make("label", "opacity");
  part.opacity = make("input");
  const range = { type: "range", min: 0, max: 1, step: 0.05, value: view.opacity };
  Object.assign(part.opacity, range);
  part.opacity.addEventListener("input", () => {
    view.opacity = Number(part.opacity.value);
    view.draw();
  });
  label.append(make("span", "", texts.opacity), part.opacity);
  part.paintTools = make("span", "paint-tools");
  part.brush = tool(texts.cell, false, () => {
    view.byCell = !view.byCell;
    part.brush.setAttribute("aria-pressed", String(view.byCell));
  });
  const undo = tool(texts.undo, null, () => repaint(view, () => view.strokes.pop()));
  const clear = tool(texts.clear, null, () => repaint(view, () => view.strokes.splice(0)));
  part.paintTools.append(part.brush, undo, clear);
  part.legend = make("span", "legend");
  part.tools.append(part.paintTools, part.play, part.mean, part.smooth);
  part.link = tool(texts.linkTo, null, () => copyLink(view));
  part.tools.append(label, part.link, part.legend);
}

// An example can be shown to others by a link, with its word and its language.
export function fillLink({ part, texts, value }) {
  part.link.hidden = !value.example || Boolean(value.busy) || Boolean(value.offline);
  part.link.textContent = texts.linkTo;
}

async function copyLink({ part, texts, value, pinned }) {
  const asked = new URLSearchParams({ example: value.example });
  if (pinned && pinned.row === "main") asked.set("word", String(pinned.index + 1));
  if (value.links) asked.set("to", value.links.language);
  const copied = await write(location.origin + location.pathname + "?" + asked);
  if (!copied) return;
  part.link.textContent = texts.copiedLink;
  part.live.textContent = texts.copiedLink;
}

// Without leave to write to the clipboard, the old way.
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea", "", text);
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}

export function fillLegend({ part, texts, value }) {
  part.legend.replaceChildren();
  const { peak } = value;
  if (!peak) return;
  const bar = coloured(Float32Array.from({ length: 96 }, (_, i) => (255 * i) / 95), 96, 1);
  bar.className = "bar";
  bar.setAttribute("aria-hidden", "true");
  part.legend.append(make("span", "", "0"), bar, make("span", "", "≥ " + percent(peak)));
  part.legend.title = texts.legend;
}

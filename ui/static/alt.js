// The sentence as alternative text of the photo: one line to correct and to copy.

import { filled, make } from "./dom.js";
import { tool } from "./tools.js";

const LONGEST = 125; // characters; some screen readers cut off what is longer

export function buildAlt(view) {
  const { part, texts } = view;
  part.alt = make("div", "alt");
  const label = make("label", "", texts.alt);
  part.altText = make("input");
  part.altText.type = "text";
  part.altText.addEventListener("input", () => count(view));
  label.append(part.altText);
  part.altCount = make("span", "count");
  part.copy = tool(texts.copy, null, () => copy(view));
  part.original = tool(texts.original, null, () => {
    part.altText.value = view.original;
    count(view);
    part.altText.focus();
  });
  part.alt.append(label, part.copy, part.original, part.altCount);
}

// The sentence that is shown, in its other language where there is one; without "a picture of",
// which a screen reader says by itself.
export function fillAlt(view) {
  const { part, value, rows } = view;
  const sentence = value.choices ? value.choices[view.choice] : value;
  const { alt, caption } = rows.links ? value.links : sentence;
  const text = alt || caption || "";
  part.alt.hidden = !text || Boolean(value.busy) || Boolean(value.paint);
  if (text === view.original) return;
  view.original = text;
  part.altText.value = text;
  part.altText.lang = rows.links ? value.links.language || "" : "en";
  count(view);
}

function count(view) {
  const { part, texts } = view;
  const length = [...part.altText.value].length;
  part.altCount.textContent = filled(texts.altCount, { count: length, most: LONGEST });
  part.altCount.classList.toggle("over", length > LONGEST);
  part.original.hidden = part.altText.value === view.original;
  part.copy.textContent = texts.copy;
}

async function copy(view) {
  const { part, texts } = view;
  try {
    await navigator.clipboard.writeText(part.altText.value);
  } catch {
    part.altText.select(); // without leave to write to the clipboard, the old way
    document.execCommand("copy");
  }
  part.copy.textContent = texts.copiedAlt;
  part.live.textContent = texts.copiedAlt;
}

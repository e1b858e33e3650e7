// A word that a person chose: it is named, and can be undone.

import { filled, make } from "./dom.js";
import { tool } from "./tools.js";

export function fillEdit(view) {
  const { part, texts, value } = view;
  const { edited } = value;
  part.edit.replaceChildren();
  part.edit.hidden = !edited || value.paint;
  if (part.edit.hidden) return;
  const word = edited.word === "." ? texts.end : edited.word;
  part.edit.append(make("span", "", filled(texts.edited, { word })));
  if (value.offline) return;
  const undo = tool(texts.undoEdit, null, () => {
    view.lastIndex = edited.index;
    view.trigger("undo", {});
  });
  part.edit.append(undo);
}

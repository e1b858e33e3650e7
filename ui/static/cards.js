// The sentences that were found, side by side; one of them is shown.

import { make } from "./dom.js";
import { stop } from "./selection.js";
import { tool } from "./tools.js";

export function fillCards(view) {
  const { choices } = view.value;
  view.part.choices.replaceChildren();
  view.part.choices.hidden = !choices || choices.length < 2;
  if (view.part.choices.hidden) return;
  view.part.choices.append(make("h2", "", view.texts.choices));
  const cards = make("div", "cards");
  choices.forEach((choice, number) => {
    const card = tool("", number === view.choice, () => chooseCard(view, number));
    card.className = "card";
    const score = view.texts.sentence + " " + Number(choice.log_prob).toFixed(1);
    card.append(make("small", "", (choice.title ? choice.title + " · " : "") + score));
    const text = make("span", "sentence", choice.caption);
    text.lang = "en";
    card.append(text);
    cards.append(card);
  });
  view.part.choices.append(cards);
}

function chooseCard(view, number) {
  stop(view);
  view.choice = number;
  const { grid } = view.value.choices[number]; // another model's cells may be of another size
  view.props.value = { ...view.value, choice: number, grid: grid || view.value.grid };
  view.value = view.props.value;
  view.pinned = null;
  view.shown = null;
  view.heats.clear();
  view.fill();
  for (const [index, card] of view.part.choices.querySelectorAll(".card").entries()) {
    card.setAttribute("aria-pressed", String(index === number));
  }
  view.update();
  if (view.value.links && !view.value.offline) view.trigger("input", {});
}

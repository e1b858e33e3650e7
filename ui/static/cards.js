// The sentences that were found, side by side; one of them is shown.

import { filled, make, percent } from "./dom.js";
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
    card.append(make("small", "", [choice.title, scoreOf(view, choice)].filter(Boolean).join(" · ")));
    const text = make("span", "sentence", choice.caption);
    text.lang = "en";
    card.append(text);
    cards.append(card);
  });
  view.part.choices.append(cards);
}

// What the sentences are ranked by; where that is the mean of their words, as people read it.
function scoreOf({ texts }, { per_word: chance, score }) {
  if (chance !== undefined) return filled(texts.perWord, { chance: percent(chance, 1) });
  return score === undefined ? "" : texts.score + " " + Number(score).toFixed(2);
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
  if (window.captionerPage) window.captionerPage.keepView(view.value);
  if (view.value.links && !view.value.offline) view.trigger("input", {});
}

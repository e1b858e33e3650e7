// The focus stays where it was when what it lay on is made anew.

// Does something that may replace the element with the focus; then its successor has it.
export function keepingFocus(view, act) {
  const active = document.activeElement;
  const place = view.part.root.contains(active) ? placeOf(view, active) : null;
  act();
  if (place && !view.part.root.contains(active)) successor(view, place).focus({ preventScroll: true });
}

function placeOf(view, node) {
  for (const [row, { buttons = [] }] of Object.entries(view.rows)) {
    const index = buttons.indexOf(node);
    if (index >= 0) return { row, index };
  }
  const card = [...view.part.choices.querySelectorAll(".card")].indexOf(node);
  return card >= 0 ? { card } : { row: "main", index: view.lastIndex };
}

function successor(view, { row, index, card }) {
  const cards = view.part.choices.querySelectorAll(".card");
  if (card !== undefined && cards[card]) return cards[card];
  const { buttons = [] } = view.rows[row] || view.rows.main;
  return buttons[Math.min(index || 0, buttons.length - 1)] || view.part.root;
}

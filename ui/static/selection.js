// Which word is shown, which one is kept, and the words played one after the other.

const PLAY_STEP = 800; // milliseconds a word

export function wordAt(view, place) {
  return place && view.rows[place.row] && view.rows[place.row].words[place.index];
}

export function same(one, other) {
  return one === other || (one && other && one.row === other.row && one.index === other.index);
}

export function hover(view, row, index) {
  stop(view);
  show(view, { row, index });
}

// Showing the same again must not rebuild the line under the words: between the press and the
// release of a button there, the button would be gone.
export function show(view, place) {
  if (same(place, view.shown) && view.cell === null) return;
  refresh(view, place);
}

export function refresh(view, place) {
  view.shown = place;
  view.cell = null;
  view.update();
}

export function pin(view, row, index) {
  stop(view);
  const place = { row, index };
  view.pinned = same(view.pinned, place) ? null : place;
  refresh(view, place);
}

export function release(view) {
  view.pinned = null;
  refresh(view, null);
}

export function play(view) {
  const { words } = view.rows.main;
  let index = 0;
  const step = () => {
    if (index === words.length) return stop(view, true);
    show(view, { row: "main", index });
    index += 1;
    view.player = setTimeout(step, PLAY_STEP);
    return undefined;
  };
  step();
  view.part.play.textContent = view.texts.pause;
  view.part.play.setAttribute("aria-pressed", "true");
}

export function stop(view, finished) {
  if (!view.player) return;
  clearTimeout(view.player);
  view.player = null;
  view.part.play.textContent = view.texts.play;
  view.part.play.setAttribute("aria-pressed", "false");
  if (finished) show(view, view.pinned);
}

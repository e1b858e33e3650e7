// Elements, numbers as people read them, and rows of buttons that the arrow keys walk over.

export function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
}

export function percent(share, digits = 0) {
  if (share === null || share === undefined) return "–";
  if (share > 0 && share < 0.005 && digits === 0) return "<1 %";
  if (share > 0.995 && share < 1 && digits === 0) return ">99 %";
  return (100 * share).toFixed(digits) + " %";
}

// A text with its values put in: "{done} of {total}".
export function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

export function valueOf(props) {
  return props.value && typeof props.value === "object" ? props.value : {};
}

// Where an arrow key leads in a row of so many; null for any other key.
export function goalOf(key, now, count) {
  const last = count - 1;
  const goals = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: last };
  return key in goals ? Math.min(last, Math.max(0, goals[key])) : null;
}

// Moves the focus along buttons of which one can be reached with Tab.
export function walk(event, buttons) {
  const now = buttons.indexOf(document.activeElement);
  const goal = goalOf(event.key, now, buttons.length);
  if (now < 0 || goal === null) return;
  event.preventDefault();
  buttons[now].tabIndex = -1;
  buttons[goal].tabIndex = 0;
  buttons[goal].focus();
}

// Many photos as a contact sheet: a picture and its text, which can be corrected; what was written first
// is kept. A photo that is chosen opens its maps beside the sheet.

import { progressBar } from "./bar.js";
import { filled, make, valueOf } from "./dom.js";
import { itemOf } from "./item.js";

const ORDERS = {
  byFile: (one, other) => one.index - other.index,
  byDoubt: (one, other) => other.row.doubt - one.row.doubt || one.index - other.index,
  byName: (one, other) => one.row.file.localeCompare(other.row.file) || one.index - other.index,
};

export function start(page) {
  const view = { ...page, run: null, items: [], edits: {}, order: "byFile", chosen: null };
  render(view);
  page.watch("value", () => render(view));
}

// Of one run, rows are only added: a text that is being corrected stays under the cursor.
function render(view) {
  const value = valueOf(view.props);
  if (value.run !== view.run || !view.list || !view.element.contains(view.list)) build(view, value);
  if (!value.total) return;
  view.value = value;
  const fresh = value.rows.slice(view.items.length);
  fresh.forEach((row, i) => view.items.push(itemOf(view, row, view.items.length)));
  if (value.models && value.models.length) view.items.forEach((item, i) => item.compare(value.rows[i], value.models));
  view.status.replaceChildren();
  if (value.done < value.total) {
    const text = filled(view.texts.done, value);
    view.status.append(progressBar(value.done, value.total, text), make("span", "", text));
  } else {
    view.status.append(make("span", "", filled(view.texts.done, value)));
    view.status.dataset.done = String(value.done);
  }
  if (value.failed) view.status.append(make("b", "", filled(view.texts.failed, value)));
  arrange(view);
  count(view);
  if (Object.keys(view.edits).length) keep(view); // a new value came without them
}

function build(view, value) {
  const root = view.element.querySelector(".table");
  Object.assign(view, { run: value.run, items: [], edits: {}, chosen: null });
  root.replaceChildren();
  view.list = make("ol", "sheet");
  view.list.setAttribute("aria-label", view.texts.photos);
  if (!value.total) {
    root.append(make("p", "empty", view.texts.empty), view.list);
    return;
  }
  view.status = make("div", "status");
  view.status.setAttribute("role", "status");
  view.corrected = make("span", "corrected");
  const tools = make("div", "tools");
  tools.append(orderOf(view), button(view.texts.previous, () => go(view, -1)));
  tools.append(button(view.texts.next, () => go(view, 1)), copyAll(view), view.corrected);
  root.append(view.status, tools, view.list, make("p", "keys", view.texts.keys));
  view.list.addEventListener("keydown", (event) => walk(view, event));
  view.edited = (index, text) => {
    if (text === null) delete view.edits[index];
    else view.edits[index] = text;
    count(view);
    keep(view);
  };
  view.open = (index) => open(view, index);
}

function button(text, act) {
  const node = make("button", "tool", text);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}

function orderOf(view) {
  const label = make("label", "order", view.texts.sort + " ");
  const select = make("select");
  const { texts } = view;
  const names = { byFile: texts.byFile, byDoubt: texts.byDoubt, byName: texts.byName };
  for (const [name, text] of Object.entries(names)) {
    const option = make("option", "", text);
    option.value = name;
    select.append(option);
  }
  select.value = view.order;
  select.addEventListener("change", () => {
    view.order = select.value;
    arrange(view);
  });
  label.append(select);
  return label;
}

function copyAll(view) {
  const copy = button(view.texts.copyAll, async () => {
    const text = sorted(view).filter(({ row }) => !row.error).map((item) => item.text()).join("\n");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea"); // without leave to write to the clipboard, the old way
      area.value = text;
      view.list.after(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    copy.textContent = view.texts.copiedAll;
    setTimeout(() => (copy.textContent = view.texts.copyAll), 2000);
  });
  return copy;
}

function sorted(view) {
  return [...view.items].sort(ORDERS[view.order]);
}

// Puts the items in order; those that lie right already are not touched, nor is the focus.
function arrange(view) {
  sorted(view).forEach((item, place) => {
    const there = view.list.children[place];
    if (there !== item.node) view.list.insertBefore(item.node, there || null);
  });
  const first = sorted(view).find(({ row }) => !row.error);
  const stop = view.items[view.chosen] || first;
  for (const item of view.items) item.stop(item === stop);
}

function count(view) {
  const changed = Object.keys(view.edits).length;
  view.corrected.textContent = changed ? filled(view.texts.corrected, { count: changed }) : "";
}

// What was corrected goes along with the value, for downloads.
function keep(view) {
  view.props.value = { ...valueOf(view.props), edits: { ...view.edits } };
}

function open(view, index) {
  view.chosen = index;
  for (const item of view.items) {
    item.stop(item.index === index);
    item.choose(item.index === index);
  }
  view.trigger("select", { index });
}

function go(view, step) {
  const there = sorted(view).filter(({ row }) => !row.error);
  const now = there.findIndex(({ index }) => index === view.chosen);
  const goal = now < 0 ? there[0] : there[Math.min(there.length - 1, Math.max(0, now + step))];
  if (!goal) return null;
  open(view, goal.index);
  goal.node.scrollIntoView({ block: "nearest" });
  return goal;
}

function walk(view, event) {
  const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
  if (!event.target.classList.contains("open") || !(event.key in steps)) return;
  event.preventDefault();
  const goal = go(view, steps[event.key]);
  if (goal) goal.focus();
}

// Two sentences whose words are linked, and their alignment as a heat map.

const TEXTS = {
  en: {
    empty: "The translation appears here, each of its words linked to those it looked at.",
    source: "Source",
    target: "Translation",
    hint: "Touch a word: the words that belong to it light up. Rows of the map are the translation's words.",
    end: "end",
    guessed: "language guessed: {language}",
    table: "How much each word of the translation (rows) looked at each word of the source (columns)",
    honest: "Attention shows which words the model looked at, not why it chose its own.",
  },
  ko: {
    empty: "번역이 여기에 나타나고, 각 단어는 모델이 본 단어와 이어집니다.",
    source: "원문",
    target: "번역",
    hint: "단어에 손을 대면 짝이 되는 단어들이 밝아집니다. 지도의 행은 번역의 단어들입니다.",
    end: "끝",
    guessed: "짐작한 언어: {language}",
    table: "번역의 단어(행)가 원문의 단어(열)를 얼마나 보았는지",
    honest: "주의 지도는 모델이 어느 단어를 보았는지 보여 줄 뿐, 왜 그 단어를 골랐는지는 알려 주지 않습니다.",
  },
};
const SAY = KOREAN ? TEXTS.ko : TEXTS.en;
const part = {};
const state = { value: {}, shown: null };

function render() {
  part.root = element.querySelector(".pairs");
  const value = props.value && typeof props.value === "object" ? props.value : {};
  state.value = value;
  state.shown = null;
  part.root.replaceChildren();
  if (!value.words || !value.words.length) {
    part.root.append(make("p", "empty", SAY.empty));
    return;
  }
  part.source = line(SAY.source, value.source_words.map((text) => ({ text })), "source");
  part.target = line(SAY.target, value.words, "target");
  part.root.append(part.source.node, part.target.node, make("p", "hint", SAY.hint));
  part.root.append(table(), make("p", "honest", SAY.honest));
}

function line(title, words, side) {
  const { value } = state;
  const node = make("section", "line");
  const language = side === "source" ? value.source_language : value.target_language;
  const heading = make("h2", "", title + (language ? " · " + language : ""));
  if (side === "source" && value.guessed) {
    heading.textContent = title + " · " + SAY.guessed.replace("{language}", language);
  }
  const group = make("div", "words");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", title);
  group.lang = language || "";
  const buttons = words.map((word, index) => {
    const button = make("button", "word");
    button.type = "button";
    button.tabIndex = index ? -1 : 0;
    button.append(make("span", "text", word.text));
    if (word.prob !== undefined) button.append(make("span", "prob", percent(word.prob)));
    button.setAttribute("aria-label", spoken(side, word, index));
    button.addEventListener("pointerenter", () => show({ side, index }));
    button.addEventListener("focus", () => show({ side, index }));
    button.addEventListener("blur", () => show(null));
    return button;
  });
  group.append(...buttons);
  group.addEventListener("pointerleave", () => show(null));
  group.addEventListener("keydown", (event) => {
    const now = buttons.indexOf(document.activeElement);
    const last = buttons.length - 1;
    const goals = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: last };
    if (!(event.key in goals) || now < 0) return;
    event.preventDefault();
    const goal = Math.min(last, Math.max(0, goals[event.key]));
    buttons[now].tabIndex = -1;
    buttons[goal].tabIndex = 0;
    buttons[goal].focus();
  });
  node.append(heading, group);
  return { node, buttons };
}

function shares(side, index) {
  const { alignment } = state.value;
  return side === "target" ? alignment[index] : alignment.map((row) => row[index]);
}

function spoken(side, word, index) {
  const others = side === "target" ? state.value.source_words : state.value.words.map((w) => w.text);
  const best = shares(side, index)
    .map((share, place) => [share, others[place]])
    .sort((a, b) => b[0] - a[0])
    .slice(0, 2)
    .map(([share, text]) => text + " " + percent(share));
  return word.text + ": " + best.join(", ");
}

function show(place) {
  state.shown = place;
  for (const [side, own] of [["source", part.source], ["target", part.target]]) {
    own.buttons.forEach((button, index) => {
      const on = place && place.side === side && place.index === index;
      const lit = place && place.side !== side ? shares(place.side, place.index)[index] : 0;
      button.classList.toggle("on", Boolean(on));
      button.style.setProperty("--lit", String(lit));
    });
  }
  for (const cell of part.root.querySelectorAll("td:not(.corner)")) {
    const inRow = place && place.side === "target" && Number(cell.dataset.row) === place.index;
    const inColumn = place && place.side === "source" && Number(cell.dataset.column) === place.index;
    cell.classList.toggle("on", Boolean(inRow || inColumn));
  }
}

function colour(share) {
  const at = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
  return "rgb(" + INFERNO[at] + ", " + INFERNO[at + 1] + ", " + INFERNO[at + 2] + ")";
}

function table() {
  const { value } = state;
  const frame = make("div", "frame");
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", SAY.table);
  const node = make("table");
  node.append(make("caption", "", SAY.table));
  const head = make("tr");
  head.append(make("td", "corner"));
  for (const text of value.source_words) head.append(heading(text, "col"));
  if (value.end_mass) head.append(heading(SAY.end, "col"));
  const top = make("thead");
  top.append(head);
  const body = make("tbody");
  value.words.forEach((word, row) => {
    const shares = [...value.alignment[row]];
    if (value.end_mass) shares.push(value.end_mass[row]);
    const tr = make("tr");
    tr.append(heading(word.text, "row"));
    shares.forEach((share, column) => tr.append(cell(share, row, column)));
    body.append(tr);
  });
  node.append(top, body);
  frame.append(node);
  return frame;
}

function heading(text, scope) {
  const th = make("th", scope);
  th.scope = scope;
  th.append(make("span", "", text));
  return th;
}

function cell(share, row, column) {
  const td = make("td", "", share >= 0.1 ? (100 * share).toFixed(0) : "");
  td.style.background = colour(share);
  td.style.color = share > 0.6 ? "#111" : "#fff";
  td.dataset.row = String(row);
  td.dataset.column = String(column);
  td.addEventListener("pointerenter", () => show({ side: "target", index: row }));
  return td;
}

render();
watch("value", render);

// The viewer: a photo, its words as buttons, and the map of the word that is touched drawn over the
// photo here in the browser. It is the body of a function of `element`, `props`, `trigger` and
// `watch`; the page and the downloaded HTML file both run it. Data only ever becomes text nodes and
// pixels.

const TEXTS = {
  en: {
    empty: "Drop a photo, paste one, or pick an example: its caption appears here.",
    hint: "Touch a word to see where the model looked; click to keep it. Or point at the photo.",
    paintHint: "Paint over a part of the photo: the model looks again and says what changed.",
    words: "Words of the caption",
    old: "What it said before; each word's probability now that you painted",
    now: "What it says now",
    translated: "The same sentence, its words linked to the caption and the photo",
    choices: "Sentences it found",
    play: "Play",
    pause: "Pause",
    mean: "Mean map",
    cells: "Grid",
    opacity: "Opacity",
    legend: "share of attention in one cell",
    instead: "Instead:",
    begins: "Or begun with:",
    goOn: "choose this word and let the model go on from here",
    looked: "looked at {spread} of the photo, most at the {place}",
    spread: "how spread out its map is",
    unknown: "not in the model's vocabulary, so it has no probability",
    copied: "copied from what it recognised",
    unsure: "unsure: the chance that this names what the photo shows is {chance}",
    end: "(end)",
    here: "Who looked here:",
    nobody: "no word looked here in particular",
    honest: "Attention shows where the model looked, not why it said what it said.",
    causal: "This one is causal: the pixels changed, and so did what the model said.",
    photo: "The photo. Arrow keys move over its cells and tell which words looked there.",
    paintable:
      "The photo. Drag to paint; or move over its cells with the arrow keys and cover them with Enter.",
    sentence: "log probability",
    cell: "Cells",
    undo: "Undo",
    clear: "Clear",
    busy: "writing…",
    gone: "It ends here.",
  },
  ko: {
    empty: "사진을 놓거나 붙여 넣거나 예시를 고르면 설명이 여기에 나타납니다.",
    hint: "단어에 손을 대면 모델이 어디를 보았는지 나타나고, 누르면 고정됩니다. 사진을 가리켜도 됩니다.",
    paintHint: "사진의 일부를 칠해 보세요. 모델이 다시 보고 무엇이 달라졌는지 말합니다.",
    words: "설명의 단어들",
    old: "전에 한 말. 칠한 뒤 각 단어의 확률",
    now: "지금 하는 말",
    translated: "같은 문장. 단어가 설명과 사진에 이어져 있습니다",
    choices: "찾아낸 문장들",
    play: "재생",
    pause: "멈춤",
    mean: "평균 지도",
    cells: "격자",
    opacity: "불투명도",
    legend: "한 칸이 받은 주의의 몫",
    instead: "대신:",
    begins: "다른 시작:",
    goOn: "이 단어를 고르고 여기서부터 이어 쓰게 합니다",
    looked: "사진의 {spread}를 보았고, 가장 많이 본 곳은 {place}",
    spread: "지도가 얼마나 퍼져 있는지",
    unknown: "모델의 어휘에 없는 단어라서 확률이 없습니다",
    copied: "알아본 사물의 이름을 그대로 옮긴 단어",
    unsure: "확실하지 않음: 사진에 있는 것을 맞게 말했을 가능성이 {chance}입니다",
    end: "(끝)",
    here: "여기를 본 단어:",
    nobody: "여기를 특별히 본 단어가 없습니다",
    honest: "주의 지도는 모델이 어디를 보았는지 보여 줄 뿐, 왜 그렇게 말했는지는 알려 주지 않습니다.",
    causal: "이것만은 인과입니다. 픽셀이 바뀌었고, 그래서 모델의 말도 바뀌었습니다.",
    photo: "사진. 화살표 키로 칸을 옮기면 그곳을 본 단어를 알려 줍니다.",
    paintable: "사진. 끌어서 칠하거나, 화살표 키로 칸을 옮기고 Enter로 가립니다.",
    sentence: "로그 확률",
    cell: "칸",
    undo: "되돌리기",
    clear: "지우기",
    busy: "쓰는 중…",
    gone: "여기서 끝납니다.",
  },
};
const SAY = KOREAN ? TEXTS.ko : TEXTS.en;
const PLAY_STEP = 800; // milliseconds a word
const PAINT_PAUSE = 350; // milliseconds after the last stroke until the model is asked
const BRUSH = 0.045; // radius, as a share of the longer side

const state = {
  value: {},
  photo: null, // the picture, once it is decoded
  grey: null,
  rows: {}, // name → {words, maps, buttons}
  choice: 0,
  shown: null, // {row, index}: whose map lies over the photo now
  pinned: null,
  cell: null, // the cell pointed at
  mean: false,
  cells: false,
  opacity: 0.55,
  player: null,
  strokes: [],
  stroke: null,
  byCell: false,
  heats: new Map(),
};
const part = {};

function build() {
  const root = element.querySelector(".viewer");
  root.replaceChildren();
  part.root = root;
  part.empty = make("p", "empty", SAY.empty);
  part.body = make("div", "body");
  part.moved = make("section", "line moved");
  part.main = make("section", "line main");
  part.links = make("section", "line links");
  part.doubt = make("p", "doubt");
  part.detail = make("div", "detail");
  part.frame = make("div", "frame");
  part.canvas = make("canvas", "photo");
  part.canvas.tabIndex = 0;
  part.canvas.setAttribute("role", "img");
  part.frame.append(part.canvas);
  part.tools = make("div", "tools");
  part.choices = make("section", "choices");
  part.honest = make("p", "honest");
  part.live = make("p", "live");
  part.live.setAttribute("aria-live", "polite");
  part.body.append(part.moved, part.main, part.links, part.doubt, part.detail, part.frame);
  part.body.append(part.tools, part.choices, part.honest, part.live);
  root.append(part.empty, part.body);
  buildTools();
  listenToPhoto();
}

function tool(text, pressed, act) {
  const button = make("button", "tool", text);
  button.type = "button";
  if (pressed !== null) button.setAttribute("aria-pressed", String(pressed));
  button.addEventListener("click", act);
  return button;
}

function buildTools() {
  part.play = tool(SAY.play, false, () => (state.player ? stop() : play()));
  part.mean = tool(SAY.mean, false, () => {
    stop();
    state.mean = !state.mean;
    part.mean.setAttribute("aria-pressed", String(state.mean));
    draw();
  });
  part.smooth = tool(SAY.cells, false, () => {
    state.cells = !state.cells;
    part.smooth.setAttribute("aria-pressed", String(state.cells));
    draw();
  });
  const label = make("label", "opacity");
  part.opacity = make("input");
  Object.assign(part.opacity, { type: "range", min: 0, max: 1, step: 0.05, value: state.opacity });
  part.opacity.addEventListener("input", () => {
    state.opacity = Number(part.opacity.value);
    draw();
  });
  label.append(make("span", "", SAY.opacity), part.opacity);
  part.paintTools = make("span", "paint-tools");
  part.brush = tool(SAY.cell, false, () => {
    state.byCell = !state.byCell;
    part.brush.setAttribute("aria-pressed", String(state.byCell));
  });
  const undo = tool(SAY.undo, null, () => repaint(() => state.strokes.pop()));
  const clear = tool(SAY.clear, null, () => repaint(() => state.strokes.splice(0)));
  part.paintTools.append(part.brush, undo, clear);
  part.legend = make("span", "legend");
  part.tools.append(part.paintTools, part.play, part.mean, part.smooth, label, part.legend);
}

// What came from the server

function render() {
  if (!part.root || !part.root.isConnected || !element.contains(part.root)) build();
  const value = props.value && typeof props.value === "object" ? props.value : {};
  const fresh = value.photo !== state.value.photo;
  const busy = Boolean(value.busy);
  state.value = value;
  part.root.classList.toggle("ready", Boolean(value.photo));
  part.root.classList.toggle("painting", Boolean(value.paint));
  part.root.classList.toggle("busy", busy);
  // What is painted on must not move when the words about it come.
  if (value.paint && part.body.firstChild !== part.frame) part.body.prepend(part.frame, part.tools);
  if (fresh) forget();
  state.choice = 0;
  state.heats.clear();
  fill();
  fillChoices();
  part.honest.textContent = value.paint ? SAY.causal : SAY.honest;
  part.honest.hidden = !value.words || (!value.words.length && !value.paint);
  part.doubt.textContent = doubt(value);
  part.doubt.hidden = !part.doubt.textContent;
  part.canvas.setAttribute("aria-label", describe(value));
  if (!busy && value.caption && value.caption !== state.told) announce(value);
  if (busy && state.rows.main.words.length) {
    state.shown = { row: "main", index: state.rows.main.words.length - 1 };
  } else if (!state.pinned || !wordAt(state.pinned)) {
    state.pinned = null;
    state.shown = null;
  } else state.shown = state.pinned;
  tell();
  if (fresh && value.photo) load(value.photo);
  else draw();
  if (!busy) warmUp();
  const said = Boolean(value.words && value.words.length);
  if (said && !state.said) bringIntoView();
  state.said = said;
}

// The maps as pictures, made one by one while nothing else happens: the first touch is instant.
function warmUp() {
  const { value } = state;
  const waiting = Object.values(state.rows).flatMap((row) => row.maps);
  const later = window.requestIdleCallback || ((act) => setTimeout(act, 30));
  const next = () => {
    if (state.value !== value || !waiting.length) return;
    heatFor(waiting.shift());
    later(next);
  };
  later(next);
}

// On a phone the caption appears below the fold.
function bringIntoView() {
  if (window.innerWidth >= 760 || state.value.offline) return;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  part.root.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

// Whoever hears the page is told what has been written, once it is whole.
function announce(value) {
  state.told = value.caption;
  part.live.textContent = [value.caption, doubt(value)].filter(Boolean).join(" ");
}

// Doubt is mostly about the photo: it stays while one of the other sentences is looked at.
function doubt(value) {
  if (!value.unsure || value.busy) return "";
  return SAY.unsure.replace("{chance}", percent(value.confidence));
}

function describe(value) {
  return (value.paint ? SAY.paintable : SAY.photo) + (value.caption ? " " + value.caption : "");
}

function forget() {
  stop();
  state.photo = null;
  state.grey = null;
  state.pinned = null;
  state.cell = null;
  state.said = false;
  state.told = "";
  state.strokes = [];
  state.mean = false;
  part.mean.setAttribute("aria-pressed", "false");
}

function load(source) {
  const picture = new Image();
  picture.onload = () => {
    if (source !== state.value.photo) return; // another photo came meanwhile
    const { naturalWidth: width, naturalHeight: height } = picture;
    part.canvas.width = width;
    part.canvas.height = height;
    part.canvas.style.aspectRatio = width + " / " + height;
    part.frame.style.setProperty("--aspect", String(width / height));
    state.photo = picture;
    state.grey = greyOf(picture, width, height);
    draw();
  };
  picture.src = source;
}

function fill() {
  const { value } = state;
  const sentence = value.choices ? value.choices[state.choice] : value;
  const cells = value.grid ? value.grid[0] * value.grid[1] : 0;
  state.rows = { main: rowOf(sentence.words, sentence.maps, sentence.spread, cells) };
  if (value.links && state.choice === 0) {
    state.rows.links = rowOf(value.links.words, value.links.maps, value.links.spread, cells);
  }
  if (value.moved) {
    state.rows.moved = rowOf(value.moved.words, value.moved.maps, value.moved.spread, cells);
  }
  for (const name of ["main", "links", "moved"]) fillRow(name);
  fillLegend();
  const some = state.rows.main.words.length > 0;
  for (const button of [part.play, part.mean]) button.disabled = !some || Boolean(value.busy);
}

function rowOf(words, maps, spread, cells) {
  const found = (words || []).map((word) => (typeof word === "string" ? { text: word } : word));
  return { words: found, spread: spread || [], maps: mapsOf(maps, found.length, cells) };
}

function fillRow(name) {
  const section = part[name];
  const row = state.rows[name];
  section.replaceChildren();
  section.hidden = !row || (!row.words.length && !state.value.busy);
  if (section.hidden) return;
  const title = { moved: SAY.old, links: SAY.translated, main: state.rows.moved && SAY.now }[name];
  if (title) section.append(make("h2", "", title));
  const group = make("div", "words");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", title || SAY.words);
  if (name === "links" && state.value.links.language) group.lang = state.value.links.language;
  else group.lang = "en";
  row.buttons = row.words.map((word, index) => button(name, word, index));
  row.buttons.forEach((item, index) => (item.tabIndex = index ? -1 : 0));
  group.append(...row.buttons);
  if (name === "main" && state.value.busy) group.append(make("span", "writing", SAY.busy));
  section.append(group);
  group.addEventListener("keydown", (event) => walk(event, name));
  group.addEventListener("pointerleave", () => show(state.pinned));
}

function button(name, word, index) {
  const row = state.rows[name];
  const node = make("button", "word");
  node.type = "button";
  node.setAttribute("aria-pressed", "false");
  const shown = index || name === "links" ? word.text : capital(word.text);
  node.append(make("span", "text", shown));
  if (row.spread[index] !== undefined) {
    const gauge = make("span", "gauge");
    const bar = make("i");
    bar.style.width = percent(row.spread[index], 1).replace(" ", "");
    gauge.append(bar);
    gauge.title = SAY.spread;
    node.append(gauge);
  }
  node.append(probability(name, word));
  if (word.known === false) node.classList.add("unknown");
  if (word.text.startsWith("'") || word.text === "n't") node.classList.add("joined");
  node.setAttribute("aria-label", spoken(name, word, index));
  node.addEventListener("pointerenter", () => hover(name, index));
  node.addEventListener("focus", () => hover(name, index));
  node.addEventListener("blur", () => show(state.pinned));
  node.addEventListener("click", () => pin(name, index));
  return node;
}

function probability(name, word) {
  if (name !== "moved") {
    return make("span", "prob", word.prob === undefined ? "" : percent(word.prob));
  }
  const node = make("span", "prob");
  const change = Math.round(100 * (word.after || 0)) - Math.round(100 * (word.prob || 0));
  const arrow = change > 0 ? "▲ " : change < 0 ? "▼ " : "";
  node.append(make("span", "was", percent(word.prob) + " → "), make("b", "", arrow));
  node.append(make("b", "", percent(word.after)));
  node.classList.add(change > 0 ? "rose" : change < 0 ? "fell" : "stayed");
  return node;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function spoken(name, word, index) {
  const parts = [word.text];
  if (word.known === false) parts.push(SAY.unknown);
  else if (name === "moved") parts.push(percent(word.prob) + " → " + percent(word.after));
  else if (word.prob !== undefined) parts.push(percent(word.prob));
  if (word.copied) parts.push(SAY.copied);
  const where = look(name, index);
  if (where) parts.push(where);
  return parts.join(", ");
}

function look(name, index) {
  const row = state.rows[name];
  const levels = row.maps[index];
  if (!levels || !levels.length || row.spread[index] === undefined) return "";
  const best = levels.indexOf(Math.max(...levels));
  return SAY.looked
    .replace("{spread}", percent(row.spread[index]))
    .replace("{place}", placeOf(best, state.value.grid));
}

function fillLegend() {
  part.legend.replaceChildren();
  const { peak } = state.value;
  if (!peak) return;
  const bar = coloured(Float32Array.from({ length: 96 }, (_, i) => (255 * i) / 95), 96, 1);
  bar.className = "bar";
  bar.setAttribute("aria-hidden", "true");
  part.legend.append(make("span", "", "0"), bar, make("span", "", "≥ " + percent(peak)));
  part.legend.title = SAY.legend;
}

function fillChoices() {
  const { choices } = state.value;
  part.choices.replaceChildren();
  part.choices.hidden = !choices || choices.length < 2;
  if (part.choices.hidden) return;
  part.choices.append(make("h2", "", SAY.choices));
  const cards = make("div", "cards");
  choices.forEach((choice, number) => {
    const card = tool("", number === state.choice, () => choose(number));
    card.className = "card";
    const score = SAY.sentence + " " + Number(choice.log_prob).toFixed(1);
    card.append(make("small", "", (choice.title ? choice.title + " · " : "") + score));
    const text = make("span", "sentence", choice.caption);
    text.lang = "en";
    card.append(text);
    cards.append(card);
  });
  part.choices.append(cards);
}

function choose(number) {
  stop();
  state.choice = number;
  state.pinned = null;
  state.shown = null;
  state.heats.clear();
  fill();
  for (const [index, card] of part.choices.querySelectorAll(".card").entries()) {
    card.setAttribute("aria-pressed", String(index === number));
  }
  tell();
  draw();
}

// Words: touched, pinned, walked over, played

function wordAt(place) {
  return place && state.rows[place.row] && state.rows[place.row].words[place.index];
}

function hover(row, index) {
  stop();
  show({ row, index });
}

function same(one, other) {
  return one === other || (one && other && one.row === other.row && one.index === other.index);
}

// Showing the same again must not rebuild the line under the words: between the press and the
// release of a button there, the button would be gone.
function show(place) {
  if (same(place, state.shown) && state.cell === null) return;
  refresh(place);
}

function refresh(place) {
  state.shown = place;
  state.cell = null;
  tell();
  draw();
}

function pin(row, index) {
  stop();
  const place = { row, index };
  state.pinned = same(state.pinned, place) ? null : place;
  refresh(place);
}

function walk(event, name) {
  const { buttons } = state.rows[name];
  const now = buttons.indexOf(document.activeElement);
  const last = buttons.length - 1;
  const goals = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: last };
  if (event.key === "Escape") {
    state.pinned = null;
    refresh(null);
  }
  if (!(event.key in goals) || now < 0) return;
  event.preventDefault();
  const goal = Math.min(last, Math.max(0, goals[event.key]));
  buttons[now].tabIndex = -1;
  buttons[goal].tabIndex = 0;
  buttons[goal].focus();
}

function play() {
  const { words } = state.rows.main;
  let index = 0;
  const step = () => {
    if (index === words.length) return stop(true);
    show({ row: "main", index });
    index += 1;
    state.player = setTimeout(step, PLAY_STEP);
    return undefined;
  };
  step();
  part.play.textContent = SAY.pause;
  part.play.setAttribute("aria-pressed", "true");
}

function stop(finished) {
  if (!state.player) return;
  clearTimeout(state.player);
  state.player = null;
  part.play.textContent = SAY.play;
  part.play.setAttribute("aria-pressed", "false");
  if (finished) show(state.pinned);
}

// The line under the words, and what lights up

function tell() {
  const { shown, pinned, value } = state;
  part.detail.replaceChildren();
  const word = wordAt(shown);
  if (state.cell !== null && !word) tellCell();
  else if (!word) part.detail.append(make("span", "", value.paint ? SAY.paintHint : SAY.hint));
  else {
    part.detail.append(make("b", "", word.text));
    if (word.known === false) part.detail.append(make("span", "", SAY.unknown));
    else if (word.prob !== undefined) part.detail.append(make("span", "", percent(word.prob, 1)));
    if (word.copied) part.detail.append(make("span", "", SAY.copied));
    part.detail.append(make("span", "", look(shown.row, shown.index)));
    if (pinned && same(shown, pinned)) tellOthers(word);
  }
  light();
}

function tellOthers(word) {
  const { value, pinned } = state;
  const inPieces = pinned.row === "links"; // a translator writes pieces of words
  const own = (text) => (inPieces ? word.text.startsWith(text) : text === word.text);
  const others = (word.alternatives || []).filter(
    ([text]) => !own(text) && (text !== "." || pinned.index > 0),
  );
  if (!others.length) return;
  const open = pinned.row === "main" && !value.offline && !value.fixed;
  const line = make("div", "others");
  line.append(make("span", "label", inPieces ? SAY.begins : SAY.instead));
  for (const [text, prob] of others) {
    const button = make(open ? "button" : "span", "other");
    if (open) button.type = "button";
    if (open) button.title = text === "." ? SAY.gone : SAY.goOn;
    button.append(make("span", "text", text === "." ? SAY.end : text));
    button.append(make("span", "prob", percent(prob)));
    if (open) button.addEventListener("click", () => {
      const before = state.rows.main.words.slice(0, pinned.index).map((entry) => entry.text);
      state.pinned = null;
      trigger("select", { before, word: text });
    });
    line.append(button);
  }
  part.detail.append(line);
}

function tellCell() {
  const looked = state.rows.main.words
    .map((word, t) => [word.text, state.rows.main.maps[t][state.cell] / 255])
    .filter(([, level]) => level > 0.15)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 5)
    .map(([text, level]) => text + " " + percent(level * state.value.peak, 1));
  const text = looked.length ? SAY.here + " " + looked.join(" · ") : SAY.nobody;
  part.detail.append(make("span", "", text));
  part.live.textContent = text;
}

function light() {
  const { shown, value } = state;
  for (const [name, row] of Object.entries(state.rows)) {
    (row.buttons || []).forEach((node, index) => {
      const on = same(shown, { row: name, index });
      const kept = same(state.pinned, { row: name, index });
      node.classList.toggle("on", Boolean(on));
      node.setAttribute("aria-pressed", String(Boolean(kept)));
      node.style.setProperty("--lit", String(share(name, index, row, value)));
    });
  }
}

// How much of the light a word gets, 0 to 1: from the cell pointed at, or from the word it is
// linked to.
function share(name, index, row, value) {
  const { shown, cell } = state;
  if (cell !== null && !shown) return row.maps[index] ? (row.maps[index][cell] || 0) / 255 : 0;
  if (!shown || !value.links || shown.row === name) return 0;
  const pair = { links: [index, shown.index], main: [shown.index, index] }[name];
  if (!pair || shown.row === "moved") return 0;
  return (value.links.alignment[pair[0]] || [])[pair[1]] || 0;
}

// The picture

function draw() {
  if (!state.photo) return;
  const { width, height } = part.canvas;
  const pen = part.canvas.getContext("2d");
  const levels = levelsShown();
  pen.imageSmoothingQuality = "high";
  pen.globalAlpha = 1;
  pen.drawImage(levels ? state.grey : state.photo, 0, 0, width, height);
  paintStrokes(pen, width, height);
  if (levels) {
    pen.globalAlpha = state.opacity;
    pen.imageSmoothingEnabled = !state.cells;
    pen.drawImage(heatFor(levels), 0, 0, width, height);
    pen.imageSmoothingEnabled = true;
    pen.globalAlpha = 1;
  }
  const gridded = (levels && state.cells) || (state.value.paint && state.byCell);
  if (gridded && state.value.grid) linesOf(pen, state.value.grid, width, height);
  if (state.cell !== null && state.value.grid) outline(pen, width, height);
}

function levelsShown() {
  const word = wordAt(state.shown);
  if (word) return state.rows[state.shown.row].maps[state.shown.index];
  if (!state.mean || !state.rows.main.words.length) return null;
  const { maps } = state.rows.main;
  return Float32Array.from(maps[0], (_, i) => maps.reduce((s, m) => s + m[i], 0) / maps.length);
}

function heatFor(levels) {
  const kept = state.heats.get(levels);
  if (kept && kept.cells === state.cells) return kept.canvas;
  const canvas = heatOf(levels, state.value.grid, state.cells);
  state.heats.set(levels, { cells: state.cells, canvas });
  return canvas;
}

function outline(pen, width, height) {
  const [h, w] = state.value.grid;
  pen.strokeStyle = "#fff";
  pen.lineWidth = Math.max(2, width / 320);
  pen.shadowColor = "#000";
  pen.shadowBlur = pen.lineWidth * 2;
  const x = ((state.cell % w) * width) / w;
  const y = (Math.floor(state.cell / w) * height) / h;
  pen.strokeRect(x, y, width / w, height / h);
  pen.shadowBlur = 0;
}

// Pointing at the photo, and painting over it

function pointed(event) {
  const box = part.canvas.getBoundingClientRect();
  const x = Math.min(0.9999, Math.max(0, (event.clientX - box.left) / box.width));
  const y = Math.min(0.9999, Math.max(0, (event.clientY - box.top) / box.height));
  return [x, y];
}

function cellAt([x, y]) {
  const [h, w] = state.value.grid;
  return Math.floor(y * h) * w + Math.floor(x * w);
}

function point(cell) {
  if (!state.value.grid || state.cell === cell) return;
  state.cell = cell;
  if (!state.pinned) state.shown = null;
  tell();
  draw();
}

function listenToPhoto() {
  const { canvas } = part;
  canvas.addEventListener("pointermove", (event) => {
    if (!state.value.grid) return;
    if (state.stroke) extend(event);
    else if (!state.value.paint) point(cellAt(pointed(event)));
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (!state.value.grid) return;
    if (state.value.paint) begin(event);
    else {
      stop();
      state.pinned = null;
      point(cellAt(pointed(event)));
    }
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, finish);
  const leave = () => {
    if (state.stroke) return;
    state.cell = null;
    show(state.pinned);
  };
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("keydown", cross);
}

function cross(event) {
  if (!state.value.grid) return;
  const [h, w] = state.value.grid;
  const cell = state.cell === null ? Math.floor(h / 2) * w + Math.floor(w / 2) : state.cell;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -w, ArrowDown: w };
  if (event.key in steps) {
    event.preventDefault();
    const goal = cell + steps[event.key];
    const sideways = Math.abs(steps[event.key]) === 1;
    const stays = !sideways || Math.floor(goal / w) === Math.floor(cell / w);
    if (state.cell === null) point(cell);
    else if (goal >= 0 && goal < h * w && stays) point(goal);
  } else if (state.value.paint && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    point(cell);
    repaint(() => cover(cell));
  }
}

function cover(cell) {
  const there = state.strokes.findIndex((stroke) => stroke.cell === cell);
  if (there >= 0) state.strokes.splice(there, 1);
  else state.strokes.push({ cell });
}

function begin(event) {
  event.preventDefault();
  if (state.byCell) {
    repaint(() => cover(cellAt(pointed(event))));
    return;
  }
  part.canvas.setPointerCapture(event.pointerId);
  state.stroke = { radius: BRUSH, points: [pointed(event)] };
  state.strokes.push(state.stroke);
  draw();
}

function extend(event) {
  const [x, y] = pointed(event);
  const [oldX, oldY] = state.stroke.points[state.stroke.points.length - 1];
  if (Math.hypot(x - oldX, y - oldY) < BRUSH / 4) return;
  state.stroke.points.push([x, y]);
  draw();
}

function finish() {
  if (!state.stroke) return;
  state.stroke = null;
  repaint(() => {});
}

function repaint(change) {
  change();
  draw();
  clearTimeout(state.asking);
  const rounded = state.strokes.map((stroke) =>
    stroke.points
      ? { ...stroke, points: stroke.points.map((p) => p.map((c) => Number(c.toFixed(4)))) }
      : stroke,
  );
  state.asking = setTimeout(() => trigger("paint", { strokes: rounded }), PAINT_PAUSE);
}

function paintStrokes(pen, width, height) {
  const fill = state.value.fill || [127, 127, 127];
  const colour = "rgb(" + fill.join(", ") + ")";
  pen.fillStyle = colour;
  pen.strokeStyle = colour;
  pen.lineCap = "round";
  pen.lineJoin = "round";
  for (const stroke of state.strokes) {
    if (stroke.cell !== undefined) {
      const [h, w] = state.value.grid;
      const x = ((stroke.cell % w) * width) / w;
      const y = (Math.floor(stroke.cell / w) * height) / h;
      pen.fillRect(x, y, width / w, height / h);
      continue;
    }
    pen.lineWidth = 2 * stroke.radius * Math.max(width, height);
    pen.beginPath();
    stroke.points.forEach(([x, y], i) => {
      if (i) pen.lineTo(x * width, y * height);
      else pen.moveTo(x * width, y * height);
    });
    if (stroke.points.length === 1) {
      const [x, y] = stroke.points[0];
      pen.lineTo(x * width + 0.01, y * height);
    }
    pen.stroke();
  }
}

build();
render();
watch("value", render);

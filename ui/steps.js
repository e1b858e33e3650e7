// Inside one step: query, scores, softmax, weighted sum, next word, with this sentence's own
// numbers. The memory is a photo's grid or a sentence's pieces.

const TEXTS = {
  en: {
    empty: "Open a photo's caption here to look inside of each of its steps.",
    words: "Choose a step",
    end: "(end)",
    query: "Query",
    queryText: "The state of the recurrent network, after {read}, asks what it needs now: {size} numbers, of length {length}.",
    start: "the start of the sentence",
    scores: "Scores",
    scoresText: "The query is compared with every place: e_j, from {low} to {high}.",
    softmax: "Softmax",
    softmaxText: "α_j = exp(e_j) / Σ exp(e): all above 0, together 1.",
    sum: "Weighted sum",
    sumText: "Each place's vector v_j counts as much as its weight; the sum is the context, {size} numbers.",
    sumHeads: "Each head sums its own view of every place, v_j; side by side and mixed, the {count} sums are the context, {size} numbers.",
    heads: "Heads: several looks at once",
    head: "Head {number}",
    gate: "A gate of {gate} decides how much of the context passes.",
    next: "Next word",
    nextText: "Previous word, state and context together give every word a probability. Said here: {word}.",
    more: "{count} more places, together",
    strip: "The first {shown} of {size} numbers, blue below and orange above zero",
    honest: "Numbers as the model computed them, in this very sentence.",
  },
  ko: {
    empty: "사진의 설명이 쓰이면 각 단계를 여기서 들여다볼 수 있습니다.",
    words: "단계를 고르세요",
    end: "(끝)",
    query: "질의",
    queryText: "{read} 다음, 순환 신경망의 상태가 지금 필요한 것을 묻습니다. 숫자 {size}개, 길이 {length}.",
    start: "문장의 시작",
    scores: "점수",
    scoresText: "질의를 모든 자리와 견줍니다. e_j는 {low}에서 {high}까지.",
    softmax: "소프트맥스",
    softmaxText: "α_j = exp(e_j) / Σ exp(e). 모두 0보다 크고 합은 1입니다.",
    sum: "가중합",
    sumText: "자리마다 벡터 v_j가 가중치만큼 더해집니다. 그 합이 문맥, 숫자 {size}개입니다.",
    sumHeads: "헤드마다 자리들을 제 나름으로 본 v_j를 더합니다. 그 합 {count}개를 나란히 놓고 섞은 것이 문맥, 숫자 {size}개입니다.",
    heads: "헤드: 한 번에 여러 곳을 봅니다",
    head: "헤드 {number}",
    gate: "게이트 {gate}가 문맥이 얼마나 지나갈지 정합니다.",
    next: "다음 단어",
    nextText: "앞 단어와 상태와 문맥이 함께 모든 단어에 확률을 줍니다. 여기서 말한 단어: {word}.",
    more: "나머지 {count}곳을 합쳐서",
    strip: "숫자 {size}개 중 처음 {shown}개. 0보다 작으면 파랑, 크면 주황",
    honest: "모델이 바로 이 문장에서 계산한 숫자들입니다.",
  },
};
const SAY = KOREAN ? TEXTS.ko : TEXTS.en;
const SIDE = 336; // CSS pixels of the longer side of a drawn grid
const TOP = 5; // places and words that are listed

const state = { value: {}, step: 0, head: 0, cell: null, photo: null, grey: null };
const part = {};

function said(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace("-", "−");
}

function whole(value) {
  return value === null || value === undefined ? "–" : value.toFixed(0).replace("-", "−");
}

function render() {
  part.root = element.querySelector(".steps");
  const value = props.value && typeof props.value === "object" ? props.value : {};
  const fresh = value.photo !== state.value.photo;
  state.value = value;
  state.cell = null;
  state.step = Math.min(state.step, Math.max(0, (value.steps || []).length - 1));
  part.root.replaceChildren();
  if (!value.steps || !value.steps.length) {
    state.photo = null;
    part.root.append(make("p", "empty", SAY.empty));
    return;
  }
  part.root.append(wordsOf(value));
  const heads = value.memories[0].lengths.length;
  state.head = Math.min(state.head, heads - 1);
  if (heads > 1) part.root.append(headsOf(heads));
  part.cards = make("div", "cards");
  part.root.append(part.cards, make("p", "honest", SAY.honest));
  if (!value.photo || (!fresh && state.photo)) fill();
  else load(value.photo);
}

function load(source) {
  const picture = new Image();
  picture.onload = () => {
    if (source !== state.value.photo) return;
    state.photo = picture;
    state.grey = greyOf(picture, picture.naturalWidth, picture.naturalHeight);
    fill();
  };
  picture.src = source;
}

function wordsOf(value) {
  const group = row("words", SAY.words, "step", value.words.map((text) => text || SAY.end));
  value.words.forEach((text, index) => {
    if (text) group.children[index].lang = value.language || "en";
  });
  return group;
}

function headsOf(count) {
  const names = Array.from({ length: count }, (_, i) => said(SAY.head, { number: i + 1 }));
  return row("heads", SAY.heads, "head", names);
}

// A row of buttons of which one is pressed; the arrow keys walk over them. `key` names what they
// choose in the state.
function row(name, label, key, texts) {
  const group = make("div", name);
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", label);
  const buttons = texts.map((text) => make("button", "word", text));
  const choose = (index) => {
    state[key] = index;
    mark();
    fill();
  };
  const mark = () => buttons.forEach((button, place) => {
    button.setAttribute("aria-pressed", String(place === state[key]));
    button.tabIndex = place === state[key] ? 0 : -1;
  });
  buttons.forEach((button, index) => {
    button.type = "button";
    button.addEventListener("click", () => choose(index));
  });
  group.append(...buttons);
  group.addEventListener("keydown", (event) => {
    const last = buttons.length - 1;
    const goals = { ArrowRight: state[key] + 1, ArrowLeft: state[key] - 1, Home: 0, End: last };
    if (!(event.key in goals)) return;
    event.preventDefault();
    choose(Math.min(last, Math.max(0, goals[event.key])));
    buttons[state[key]].focus();
  });
  mark();
  return group;
}

// The step that is chosen, as the head that is chosen sees it.
function stepShown() {
  const step = state.value.steps[state.step];
  return { ...step, scores: step.scores[state.head], weights: step.weights[state.head] };
}

// What it looks at: the photo's cells, or the sentence that is being translated.
function memory() {
  return state.value.memories[state.value.steps[state.step].memory];
}

function fill() {
  const step = stepShown();
  const finite = step.scores.filter((score) => Number.isFinite(score));
  state.low = Math.min(...finite);
  state.high = Math.max(...finite);
  state.total = finite.reduce((sum, score) => sum + Math.exp(score - state.high), 0);
  part.cards.replaceChildren(
    queryCard(step),
    scoresCard(step),
    softmaxCard(step),
    sumCard(step),
    nextCard(step),
  );
  follow(null);
}

function card(order, title, text) {
  const node = make("section", "card");
  const heading = make("h2");
  heading.append(make("span", "order", String(order)), make("span", "", title));
  node.append(heading, make("p", "", text));
  return node;
}

function queryCard(step) {
  const read = step.read ? "“" + step.read + "”" : SAY.start;
  const values = { read, size: step.query_size, length: number(step.query_length) };
  const node = card(1, SAY.query, said(SAY.queryText, values));
  node.append(strip(step.query, step.query_size), figures(step.query));
  return node;
}

function scoresCard(step) {
  const values = { low: number(state.low), high: number(state.high) };
  const node = card(2, SAY.scores, said(SAY.scoresText, values));
  const spread = Math.max(1e-9, state.high - state.low);
  const levels = step.scores.map((score) => (200 * (score - state.low)) / spread);
  node.append(places(levels, step.scores.map(number), step.scores.map(whole)));
  return node;
}

function softmaxCard(step) {
  const node = card(3, SAY.softmax, SAY.softmaxText);
  const peak = Math.max(...step.weights);
  const levels = step.weights.map((weight) => (230 * weight) / peak);
  node.append(places(levels, step.weights.map((weight) => (100 * weight).toFixed(1))));
  part.formula = make("p", "formula");
  node.append(part.formula);
  return node;
}

function sumCard(step) {
  const count = memory().lengths.length;
  const text = count > 1 ? SAY.sumHeads : SAY.sumText;
  const node = card(4, SAY.sum, said(text, { count, size: step.context_size }));
  const order = step.weights.map((weight, j) => [weight, j]).sort((a, b) => b[0] - a[0]);
  const list = make("ul");
  for (const [weight, j] of order.slice(0, TOP)) {
    const item = make("li");
    item.append(sample(j), make("span", "", percent(weight, 1) + " × v"));
    item.append(make("sub", "", String(j + 1)));
    item.append(make("small", "", "‖v‖ = " + number(memory().lengths[state.head][j])));
    list.append(item);
  }
  const rest = order.slice(TOP);
  if (rest.length) {
    const share = rest.reduce((sum, [weight]) => sum + weight, 0);
    const item = make("li");
    item.append(make("span", "", "+ " + percent(share, 1)));
    item.append(make("small", "", said(SAY.more, { count: rest.length })));
    list.append(item);
  }
  node.append(list, strip(step.context, step.context_size), figures(step.context));
  if (step.gate !== null) node.append(make("p", "", said(SAY.gate, { gate: number(step.gate) })));
  return node;
}

function nextCard(step) {
  const word = state.value.words[state.step] || SAY.end;
  const node = card(5, SAY.next, said(SAY.nextText, { word }));
  const list = make("ul", "bars");
  for (const [text, prob] of step.next) {
    const shown = text || SAY.end;
    const item = make("li", shown === word ? "said" : "");
    const bar = make("i");
    bar.style.width = (100 * prob).toFixed(1) + "%";
    item.append(make("span", "text", shown), make("span", "track"), make("b", "", percent(prob, 1)));
    item.querySelector(".track").append(bar);
    list.append(item);
  }
  node.append(list);
  return node;
}

// A vector as a strip of colours, and its first numbers

function strip(values, size) {
  const canvas = make("canvas", "strip");
  canvas.width = values.length;
  canvas.height = 1;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", said(SAY.strip, { shown: values.length, size }));
  canvas.title = canvas.getAttribute("aria-label");
  const most = Math.max(1e-9, ...values.map(Math.abs));
  const pen = canvas.getContext("2d");
  values.forEach((value, i) => {
    const strength = Math.abs(value) / most;
    pen.fillStyle = value < 0 ? "rgb(37, 99, 235)" : "rgb(217, 119, 6)";
    pen.globalAlpha = 0.08 + 0.92 * strength;
    pen.fillRect(i, 0, 1, 1);
  });
  return canvas;
}

function figures(values) {
  return make("p", "figures", "[" + values.slice(0, 5).map(number).join(", ") + ", …]");
}

// The memory's places: cells over the photo, or words in a row. Where the cells are too narrow for
// the texts, the short ones stand there.

function places(levels, texts, short = texts) {
  const { positions } = memory();
  if (!positions) return gridOf(levels, texts, short);
  const list = make("ol", "places");
  positions.forEach((text, j) => {
    const item = make("li", "place");
    item.dataset.place = String(j);
    item.style.setProperty("--level", String(levels[j] / 255));
    item.append(make("span", "text", text || SAY.end), make("small", "", texts[j]));
    item.addEventListener("pointerenter", () => follow(j));
    list.append(item);
  });
  list.addEventListener("pointerleave", () => follow(null));
  return list;
}

function gridOf(levels, texts, short) {
  const { grid } = state.value;
  const canvas = make("canvas", "grid");
  const aspect = state.photo.naturalWidth / state.photo.naturalHeight;
  const scale = 2;
  canvas.width = scale * (aspect >= 1 ? SIDE : Math.round(SIDE * aspect));
  canvas.height = scale * (aspect >= 1 ? Math.round(SIDE / aspect) : SIDE);
  const pen = canvas.getContext("2d");
  const heat = coloured(levels, grid[1], grid[0]);
  pen.drawImage(state.grey, 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = 0.7;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(heat, 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = 1;
  linesOf(pen, grid, canvas.width, canvas.height);
  const [width, height] = [canvas.width / grid[1], canvas.height / grid[0]];
  const size = Math.min(width / 2.6, height / 1.5, 26);
  pen.font = size + "px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  if (size > 12) {
    const widest = Math.max(...texts.map((text) => pen.measureText(text).width));
    (widest < 0.95 * width ? texts : short).forEach((text, j) => {
      pen.fillStyle = levels[j] > 165 ? "#111" : "#fff";
      pen.fillText(text, ((j % grid[1]) + 0.5) * width, (Math.floor(j / grid[1]) + 0.5) * height);
    });
  }
  canvas.setAttribute("role", "img");
  const best = levels.indexOf(Math.max(...levels));
  canvas.setAttribute("aria-label", texts[best] + ", " + placeOf(best, grid));
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width));
    const y = Math.min(0.999, Math.max(0, (event.clientY - box.top) / box.height));
    follow(Math.floor(y * grid[0]) * grid[1] + Math.floor(x * grid[1]));
  });
  canvas.addEventListener("pointerleave", () => follow(null));
  return canvas;
}

// The softmax of one place in figures: the one that is pointed at, or the largest.
function follow(place) {
  const step = stepShown();
  const j = place === null ? step.weights.indexOf(Math.max(...step.weights)) : place;
  const score = step.scores[j];
  if (score === undefined || !part.formula) return;
  part.formula.replaceChildren(make("span", "", "α"), make("sub", "", String(j + 1)));
  const top = Number.isFinite(score) ? Math.exp(score - state.high) : 0;
  const shares = number(top) + " / " + number(state.total);
  const text = " = exp(e − max e) / Σ = exp(" + number(score - state.high) + ") / " +
    number(state.total) + " = " + shares + " = " + percent(step.weights[j], 1);
  part.formula.append(make("span", "", text));
}

// What one place looks like: a cut of the photo, or the word.
function sample(j) {
  const { positions } = memory();
  if (positions) return make("span", "piece", positions[j] || SAY.end);
  const { grid } = state.value;
  const canvas = make("canvas", "sample");
  canvas.width = 56;
  canvas.height = 56;
  const width = state.photo.naturalWidth / grid[1];
  const height = state.photo.naturalHeight / grid[0];
  const [x, y] = [(j % grid[1]) * width, Math.floor(j / grid[1]) * height];
  canvas.getContext("2d").drawImage(state.photo, x, y, width, height, 0, 0, 56, 56);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", placeOf(j, grid));
  return canvas;
}

render();
watch("value", render);

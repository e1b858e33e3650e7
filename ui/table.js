// Many photos: how far it has got, and a row for each; a row that is chosen opens its maps.

const TEXTS = {
  en: {
    empty: "Captions appear here, a row a photo.",
    done: "{done} of {total}",
    failed: "{failed} failed",
    photo: "Photo",
    caption: "Caption",
    prob: "Word probability",
    spread: "Spread of its maps",
    unsure: "unsure",
    open: "show the maps of {file}",
  },
  ko: {
    empty: "설명이 사진마다 한 줄씩 여기에 나타납니다.",
    done: "{total}장 중 {done}장",
    failed: "실패 {failed}장",
    photo: "사진",
    caption: "설명",
    prob: "단어 확률",
    spread: "지도의 퍼짐",
    unsure: "확실하지 않음",
    open: "{file}의 지도 보기",
  },
};
const SAY = KOREAN ? TEXTS.ko : TEXTS.en;

function render() {
  const root = element.querySelector(".table");
  const value = props.value && typeof props.value === "object" ? props.value : {};
  root.replaceChildren();
  if (!value.total) {
    root.append(make("p", "empty", SAY.empty));
    return;
  }
  root.append(progress(value), list(value));
}

function progress(value) {
  const line = make("div", "progress");
  const bar = make("div", "bar");
  const filled = make("i");
  filled.style.width = (100 * value.done) / value.total + "%";
  bar.append(filled);
  bar.setAttribute("role", "progressbar");
  bar.setAttribute("aria-valuemin", "0");
  bar.setAttribute("aria-valuemax", String(value.total));
  bar.setAttribute("aria-valuenow", String(value.done));
  const text = SAY.done.replace("{done}", value.done).replace("{total}", value.total);
  bar.setAttribute("aria-label", text);
  line.append(bar, make("span", "", text));
  if (value.failed) line.append(make("b", "", SAY.failed.replace("{failed}", value.failed)));
  return line;
}

function list(value) {
  const table = make("table");
  const head = make("tr");
  for (const title of ["", SAY.photo, SAY.caption, SAY.prob, SAY.spread]) {
    const th = make(title ? "th" : "td", "", title);
    if (title) th.scope = "col";
    head.append(th);
  }
  const top = make("thead");
  top.append(head);
  const body = make("tbody");
  value.rows.forEach((row, index) => body.append(line(row, index)));
  table.append(top, body);
  return table;
}

function line(row, index) {
  const tr = make("tr", row.error ? "failed" : "");
  const picture = make("td", "picture");
  if (row.thumbnail) {
    const image = make("img");
    image.alt = "";
    image.src = row.thumbnail;
    picture.append(image);
  }
  const text = make("td", "sentence");
  if (row.error) text.append(make("span", "error", row.error));
  else {
    const button = make("button", "open", row.caption);
    button.type = "button";
    button.lang = "en";
    button.title = SAY.open.replace("{file}", row.file);
    button.addEventListener("click", () => trigger("select", { index }));
    text.append(button);
    if (row.unsure) text.append(make("span", "unsure", SAY.unsure));
  }
  tr.append(picture, make("td", "file", row.file), text);
  tr.append(make("td", "number", row.error ? "" : percent(row.prob)));
  tr.append(make("td", "number", row.error ? "" : percent(row.spread)));
  return tr;
}

render();
watch("value", render);

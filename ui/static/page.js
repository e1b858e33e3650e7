// What holds for the whole page: its language, whether something is being written about the photo,
// that the open tab follows what was written, what a tab that is loaded again begins with, where a
// link leads, and photos that are dropped anywhere.

(function () {
  const root = document.documentElement;
  const korean = (navigator.language || "en").startsWith("ko");
  root.lang = korean ? "ko" : "en";
  const KEPT = "captioner"; // as kept.js reads it
  const MOST = 2 * 2 ** 20; // characters that a tab keeps
  // Of each event, numbers that grow with everything that is asked: up to which one was asked, up to
  // which one the run that is under way answers, and up to which one is answered. Gradio asks the
  // server once for all that came while another run was under way, so runs cannot be counted.
  const events = new Map();
  let asked = 0;

  function mark() {
    const stage = document.getElementById("stage");
    if (!stage) return;
    const waiting = [...events.values()].filter((one) => one.asked > one.answered);
    stage.setAttribute("aria-busy", String(waiting.length > 0));
    stage.toggleAttribute("data-forgotten", waiting.some((one) => one.forgotten !== forgotten));
  }

  // Gradio gives each choice a name of its own: four tab stops, and arrow keys that lead nowhere.
  function groupLanguages() {
    for (const input of document.querySelectorAll("#to input[type=radio]")) input.name = "to";
  }

  // How often a photo was forgotten: what was asked before then must not be kept when it comes.
  let forgotten = 0;
  let late = false; // whether what came last was asked before

  function begin(name) {
    asked += 1;
    const before = events.get(name) || { run: 0, answered: 0, forgotten };
    events.set(name, { ...before, asked });
    mark();
  }

  // A run starts, with all that was asked up to now.
  function run(name, ...inputs) {
    const event = events.get(name);
    if (event) Object.assign(event, { run: event.asked, forgotten });
    mark();
    return inputs;
  }

  function end(name) {
    const event = events.get(name);
    late = Boolean(event) && event.forgotten !== forgotten;
    if (event) event.answered = event.run;
    if (event && overtaken(name, event.run)) document.getElementById("again")?.click();
    mark();
    groupLanguages();
  }

  // Whether what has come was asked before something else of the same viewer, whose answer it may
  // have replaced: a translation of the photo before, or a caption without the language chosen since.
  function overtaken(name, run) {
    const others = [...events].filter(([other]) => other !== name && !other.startsWith("_open"));
    return run > 0 && !name.startsWith("_open") && others.some(([, other]) => other.asked > run);
  }

  // Presses the button of the tab that is open, which asks for what is written now.
  function follow() {
    for (const button of document.querySelectorAll("#stage .follow")) {
      const panel = button.closest("[role=tabpanel]");
      if (panel && panel.checkVisibility()) button.click();
    }
  }

  // What this tab keeps, for when it is loaded again

  function remembered() {
    try {
      return JSON.parse(sessionStorage.getItem(KEPT));
    } catch {
      return null; // a browser that keeps nothing
    }
  }

  function remember(kept) {
    try {
      const text = kept && JSON.stringify(kept);
      if (text && text.length <= MOST) sessionStorage.setItem(KEPT, text);
      else sessionStorage.removeItem(KEPT);
    } catch {
      // a browser that keeps nothing, or has no room
    }
  }

  function keep(photo, view, to, ...controls) {
    const whole = photo && view && view.words && view.words.length && !view.busy && !view.opening;
    if (whole && !late) remember({ photo, view, to, controls });
    else if (!photo || (view && view.error)) remember(null);
    // What was asked before the photo was forgotten, and came afterwards, goes as well.
    if (late && !photo && view && view.photo) document.querySelector("#forget")?.click();
    if (linked) setTimeout(point); // once the words stand there
    follow();
  }

  // The card that is shown is chosen without the server.
  function keepView(view) {
    const kept = remembered();
    if (kept) remember({ ...kept, view });
  }

  // The inputs of the event that writes it again, so that the server knows it, too.
  function kept() {
    const { photo, view, to, controls } = restoring;
    const choices = [...document.querySelectorAll("#to input[type=radio]")];
    const spoken = choices.some((choice) => choice.value === to) ? to : ""; // other weights may lack it
    return [photo, { choice: view.choice || 0, edits: view.edits || [] }, spoken, ...controls];
  }

  function forget() {
    forgotten += 1;
    remember(null);
    focusUpload();
    return [];
  }

  // What was pressed goes with the photo: the focus waits for the button that takes the next one,
  // however long the server needs, unless the visitor moves it on.
  function focusUpload() {
    const place = document.querySelector("#photo");
    const pressed = document.activeElement;
    const watch = new MutationObserver(() => {
      const now = document.activeElement;
      const moved = now && now !== document.body && now !== pressed && !place.contains(now);
      const button = [...place.querySelectorAll("button")].find((each) => each.checkVisibility());
      const empty = button && !place.querySelector("img");
      if (moved || empty) watch.disconnect();
      if (empty && !moved) button.focus();
    });
    watch.observe(place, { childList: true, subtree: true });
  }

  // A photo that the server has forgotten is sent again, as it was shown.
  async function restore() {
    const { photo, view } = restoring;
    const there = await fetch(photo.url, { method: "HEAD" }).catch(() => ({ ok: false }));
    if (there.ok) document.getElementById("restore").click();
    else give(new File([await (await fetch(view.photo)).blob()], photo.orig_name || "photo.jpg"));
  }

  // A link: ?example=cat&word=2&to=ko

  function link() {
    const asked = new URLSearchParams(location.search);
    const found = { example: asked.get("example"), word: asked.get("word"), to: asked.get("to") };
    return Object.values(found).some((value) => value !== null) ? found : null;
  }

  function open() {
    const example = [...document.querySelectorAll("#strip .example")].find(
      (button) => button.dataset.key === linked.example,
    );
    const there = document.querySelector("#caption-viewer .viewer");
    if (example && there.dataset.example !== linked.example) example.click();
    else point();
  }

  // The language first: its words come with those of the caption.
  function point() {
    const { word, to } = linked;
    const choices = [...document.querySelectorAll("#to input[type=radio]")];
    const language = choices.find((choice) => to && choice.value === to);
    if (language && !language.checked) {
      language.click();
      return; // and once more when the words are there
    }
    linked = null;
    const words = document.querySelectorAll("#caption-viewer .main .word");
    if (word && words[Number(word) - 1]) words[Number(word) - 1].click();
  }

  // Photos from anywhere

  function give(photo) {
    const input = document.querySelector("#photo input[type=file]");
    if (!input) return;
    const files = new DataTransfer();
    files.items.add(photo);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function pick() {
    document.querySelector("#photo input[type=file]")?.click();
  }

  // Gradio's own button takes the photo away before another one is chosen, or none.
  document.addEventListener(
    "click",
    (event) => {
      const place = event.target.closest("[data-testid=block-label], .source-selection button:first-of-type");
      if (!place || !place.closest("#photo:has(.image-frame img)")) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      pick();
    },
    true,
  );

  function photoOf(data) {
    const panel = document.getElementById("one-photo");
    const file = [...((data && data.files) || [])].find(({ type }) => type.startsWith("image/"));
    return panel && panel.checkVisibility() ? file : undefined;
  }

  document.addEventListener("dragover", (event) => {
    if (document.getElementById("one-photo")?.checkVisibility()) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    const photo = photoOf(event.dataTransfer);
    if (!photo || event.target.closest("#photo [aria-dropeffect]")) return;
    event.preventDefault();
    give(photo);
  });
  document.addEventListener("paste", (event) => {
    const photo = photoOf(event.clipboardData);
    if (!photo || event.target.closest("input, textarea, #photo")) return;
    event.preventDefault();
    give(photo);
  });

  // Messages in the visitor's language, where the server could not know it

  function say(text) {
    const { patterns, both } = captionerReasons;
    for (const texts of both) {
      const said = ofBoth(texts, text);
      if (said) return said;
    }
    if (!korean) return text;
    for (const [pattern, other] of patterns) {
      const found = new RegExp("^" + pattern + "$", "s").exec(text);
      if (found) return other.replace(/\$(\d)/g, (_, number) => say(found[number] || ""));
    }
    return text;
  }

  // One of two languages, of a text that came in both, with what was put in its {places}.
  function ofBoth(texts, text) {
    const whole = Object.values(texts).join(" · ");
    const names = [...whole.matchAll(/\{(\w+)\}/g)].map((found) => found[1]);
    const pattern = whole.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{\w+\}/g, "(.*)");
    const found = new RegExp("^" + pattern + "$", "s").exec(text);
    if (!found) return "";
    return texts[root.lang].replace(/\{(\w+)\}/g, (_, name) => say(found[names.indexOf(name) + 1]));
  }

  function translate(node) {
    for (const message of node.querySelectorAll("[data-testid=toast-body] *, [data-testid=toast-text]")) {
      if (!message.children.length && message.textContent.trim()) replace(message);
    }
    for (const [path, name] of [["aria-label", "[aria-label]"], ["title", "[title]"]]) {
      if (korean) for (const button of node.querySelectorAll("button" + name)) rename(button, path);
    }
  }

  function replace(message) {
    const said = say(message.textContent.trim());
    if (said !== message.textContent.trim()) message.textContent = said;
  }

  function rename(button, attribute) {
    const said = say(button.getAttribute(attribute));
    if (said !== button.getAttribute(attribute)) button.setAttribute(attribute, said);
  }

  // What scrolls sideways can be reached with Tab, and so be moved with the arrow keys.
  function reach() {
    for (const part of document.querySelectorAll("#about .table-wrap, #about table, #about pre")) {
      const wide = part.scrollWidth > part.clientWidth + 1;
      if (wide && !part.closest("[tabindex='0']")) part.tabIndex = 0;
    }
  }

  let linked = link();
  const again = performance.getEntriesByType("navigation")[0]?.type === "reload";
  const restoring = again || !linked ? remembered() : null;
  if (restoring) linked = null;

  function started() {
    if (!document.querySelector("#strip .example") || !document.getElementById("restore")) return;
    begun.disconnect();
    groupLanguages();
    if (restoring) restore();
    else if (linked) open();
  }

  const begun = new MutationObserver(started);
  // Our own drawings speak the visitor's language by themselves, and change with every touch.
  const OURS = ".viewer, .steps, .pairs, .table, .strip, .progress";
  const later = new MutationObserver((changes) => {
    if (changes.every(({ target }) => target.closest?.(OURS))) return;
    groupLanguages();
    translate(document);
  });
  function observe() {
    begun.observe(document.body, { childList: true, subtree: true });
    later.observe(document.body, { childList: true, subtree: true });
    started();
  }

  // Gradio puts this script into the page's head once the page is there.
  window.captionerLoaded?.();
  if (document.body) observe();
  else document.addEventListener("DOMContentLoaded", observe);
  window.addEventListener("resize", reach);

  window.captionerPage = {
    ...{ begin, run, end, follow, keep, keepView, kept, forget, pick, say, reach },
  };
})();

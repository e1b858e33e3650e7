// What holds for the whole page: its language, whether something is being written about the photo,
// and that the open tab follows what was written.

(function () {
  const root = document.documentElement;
  root.lang = (navigator.language || "en").startsWith("ko") ? "ko" : "en";
  const pending = new Map(); // event → answers that are to come: one runs, and one may wait

  function mark() {
    const stage = document.getElementById("stage");
    if (stage) stage.setAttribute("aria-busy", String([...pending.values()].some(Boolean)));
  }

  // Gradio gives each choice a name of its own: four tab stops, and arrow keys that lead nowhere.
  function groupLanguages() {
    for (const input of document.querySelectorAll("#to input[type=radio]")) input.name = "to";
  }

  function begin(name) {
    pending.set(name, Math.min(2, (pending.get(name) || 0) + 1));
    mark();
  }

  function end(name) {
    pending.set(name, Math.max(0, (pending.get(name) || 0) - 1));
    mark();
    groupLanguages();
  }

  // Presses the button of the tab that is open, which asks for what is written now.
  function follow() {
    for (const button of document.querySelectorAll("#stage .follow")) {
      const panel = button.closest("[role=tabpanel]");
      if (panel && panel.checkVisibility()) button.click();
    }
  }

  window.captionerPage = { begin, end, follow };
})();

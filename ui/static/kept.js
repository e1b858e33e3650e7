// What a tab keeps while it is open, for when it is loaded again: its photo and what was written.

const NAME = "captioner";
const LINKED = ["example", "word", "to"]; // what a link may ask for

// What this tab showed before; nothing where it was opened by a link.
export function kept() {
  const again = performance.getEntriesByType("navigation")[0]?.type === "reload";
  const asked = new URLSearchParams(location.search);
  if (!again && LINKED.some((name) => asked.has(name))) return null;
  try {
    return JSON.parse(sessionStorage.getItem(NAME));
  } catch {
    return null; // a browser that keeps nothing
  }
}

// What the caption's viewer begins with, and no other one.
export function viewBefore(element) {
  const found = element.closest("#caption-viewer") ? kept() : null;
  return found && found.view;
}

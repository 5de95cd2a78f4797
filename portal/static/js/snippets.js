// Remembers which language of a snippet was read last, and opens that one everywhere.
const KEY = "countersign.snippet";

export function install(root) {
  let last = null;
  try {
    last = localStorage.getItem(KEY);
  } catch {
    return; // storage can be forbidden; the first language is shown then
  }
  for (const radio of root.querySelectorAll(".snips > input")) {
    if (radio.value === last) radio.checked = true;
    radio.addEventListener("change", () => localStorage.setItem(KEY, radio.value));
  }
}

// Buttons with data-copy put that text on the clipboard and say so, also to a screen reader.
import { say } from "./say.js";

export function install(root) {
  if (!navigator.clipboard) return; // not offered on plain http; the text can still be selected
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
      } catch {
        say("Could not copy. Select the text instead.");
        return;
      }
      button.classList.add("done");
      say("Copied");
      setTimeout(() => button.classList.remove("done"), 1500);
    });
  }
}

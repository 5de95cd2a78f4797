// One polite live region for short news: "Copied", "Upload finished".
export function say(text) {
  const region = document.getElementById("news");
  region.textContent = "";
  setTimeout(() => { region.textContent = text; }, 50);
}

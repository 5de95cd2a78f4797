// Follows the log of a running build. Scrolling up pauses the view, not the build; when the build ends, the page is
// loaded once more, because its heading and image are known then.
import { say } from "./say.js";

const log = document.querySelector("[data-follow]");
const news = document.getElementById("log-news");
const again = document.getElementById("log-follow");
const ENDED = ["done", "failed", "declined"];
let following = true;
let open = null; // the last line while its end has not come yet
let waits = 1000;

const atEnd = () => log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
const toEnd = () => { log.scrollTop = log.scrollHeight; };

function append(text) {
  const lines = text.split("\n");
  for (const [place, line] of lines.entries()) {
    const last = place === lines.length - 1;
    if (last && line === "") break;
    if (!open) open = addLine();
    open.lastElementChild.textContent += line;
    if (!last) open = null;
  }
}

function addLine() {
  const number = log.lastElementChild ? Number(log.lastElementChild.id.slice(1)) + 1 : 1;
  const item = document.createElement("li");
  item.id = `L${number}`;
  const link = document.createElement("a");
  link.href = `#L${number}`;
  link.textContent = number;
  link.setAttribute("aria-label", `Line ${number}`);
  item.append(link, document.createElement("span"));
  log.append(item);
  return item;
}

function ended(state) {
  if (following) {
    location.reload();
    return;
  }
  const link = document.createElement("a");
  link.href = location.pathname;
  link.textContent = "Show how it ended";
  news.replaceChildren(`The build is ${state}. `, link);
  again.hidden = true;
  say(`The build is ${state}.`);
}

async function follow() {
  try {
    const answer = await fetch(`${log.dataset.follow}?from=${log.dataset.size}`);
    if (answer.redirected || answer.status >= 400) throw new Error(`status ${answer.status}`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if (bytes.length) {
      append(new TextDecoder().decode(bytes));
      log.dataset.size = Number(log.dataset.size) + bytes.length;
      if (following) toEnd();
    }
    const state = answer.headers.get("X-Build-State");
    if (ENDED.includes(state) && !bytes.length) return ended(state);
    if (state !== log.dataset.state) {
      log.dataset.state = state;
      say(`The build is ${state}.`);
    }
    news.textContent = state === "running" ? "Running. You may leave: it goes on." : news.textContent;
    waits = document.hidden ? 5000 : 1000;
  } catch {
    news.textContent = "The connection is lost. It is tried again; the build goes on.";
    waits = Math.min(waits * 2, 30_000);
  }
  setTimeout(follow, waits);
}

if (log) {
  log.addEventListener("scroll", () => {
    following = atEnd();
    again.hidden = following;
  });
  again.addEventListener("click", () => {
    toEnd();
    log.focus();
  });
  // Somebody who came for a line reads it; everybody else reads the end.
  if (location.hash.startsWith("#L")) following = atEnd();
  else toEnd();
  follow();
}

// While the checks run: adds new lines of their log, and opens the page anew when they have ended.
const EVERY = 1500;
const sheet = document.querySelector("[data-checks]");
const status = sheet?.querySelector("[data-status]");
const log = document.querySelector("[data-log]");

async function look(next) {
  try {
    const answer = await fetch(`${sheet.dataset.checks}?from=${next}`, { redirect: "error", headers: { Accept: "application/json" } });
    if (!answer.ok) return next;
    const told = await answer.json();
    if (told.stage !== "checking") {
      location.reload();
      return null;
    }
    status.textContent = told.status;
    if (log && told.log) {
      const following = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
      log.append(told.log);
      if (following) log.scrollTop = log.scrollHeight;
    }
    return told.next;
  } catch {
    return next; // offline, or signed out: the link to reload is still there
  }
}

async function follow(next) {
  while (next !== null) {
    await new Promise((resolve) => setTimeout(resolve, EVERY));
    if (!document.hidden) next = await look(next);
  }
}

if (sheet) follow(Number(log?.dataset.next ?? 0));

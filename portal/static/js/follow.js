// Follows the log of a running build: asks for what is new, and reloads the page once when the build has ended.
const log = document.querySelector("[data-follow]");

async function follow() {
  const answer = await fetch(`${log.dataset.follow}?from=${log.dataset.size}`);
  if (answer.status === 200) {
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    log.append(new TextDecoder().decode(bytes));
    log.dataset.size = Number(log.dataset.size) + bytes.length;
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
  if (["done", "failed"].includes(answer.headers.get("X-Build-State"))) location.reload();
  else setTimeout(follow, 1000);
}

if (log) follow();
else setTimeout(() => location.reload(), 2000);

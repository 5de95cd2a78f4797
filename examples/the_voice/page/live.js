// The page works as plain forms. This module sends the same forms in the background and swaps in the parts that changed.

const main = document.querySelector("main");

function swap(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const part of document.querySelectorAll("[data-swap]")) {
    const next = fresh.getElementById(part.id);
    // Children, not the element: a live region that is replaced is not read out.
    if (next) part.replaceChildren(...next.childNodes);
  }
  return fresh;
}

async function load(url, options) {
  const response = await fetch(url, options);
  if (!response.headers.get("Content-Type")?.startsWith("text/html")) throw new Error(await response.text());
  return { fresh: swap(await response.text()), ok: response.ok };
}

function showFailure(error) {
  const line = document.createElement("p");
  line.className = "fault";
  line.textContent = `This page got no answer (${error.message}). Is it still running? Your text is kept.`;
  document.getElementById("answer").replaceChildren(line);
}

async function submit(form, button) {
  const body = new URLSearchParams(new FormData(form, button));
  const times = Number(form.dataset.repeat ?? 1);
  if (times > 1) body.set("count", "1");
  for (let sent = 0; sent < times; sent += 1) {
    const { fresh, ok } = await load(form.action, { method: "POST", body });
    const typed = fresh.getElementById("text").value;
    if (typed) document.getElementById("text").value = typed;
    if (!ok) return;
  }
}

async function whileBusy(work, control) {
  if (main.ariaBusy === "true") return;
  main.ariaBusy = "true";
  control?.classList.add("busy");
  try {
    await work();
  } catch (error) {
    showFailure(error);
  } finally {
    main.ariaBusy = "false";
    control?.classList.remove("busy");
  }
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-live]")) return;
  event.preventDefault();
  whileBusy(() => submit(event.target, event.submitter), event.submitter);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-live]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  whileBusy(() => load(link.href), link);
});

document.getElementById("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) event.target.form.requestSubmit();
});

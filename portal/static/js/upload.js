// Sends the files of the upload form one by one: hashed here first, skipped when the server has them, with progress.
// Without this the form sends them itself. After it the form carries digests only, and is sent as usual.
import { say } from "./say.js";
import { Sha256 } from "./sha256.js";

const PIECE = 4 << 20;
const FORMATS = { joblib: "joblib", pkl: "pickle", pickle: "pickle", skops: "skops", onnx: "onnx", txt: "lightgbm", json: "xgboost" };
const form = document.querySelector("form[data-upload]");
const ENDINGS = { model_file: ["joblib", "pkl", "pickle", "skops", "onnx", "txt", "json"], sample_file: ["jsonl", "ndjson"], requirements_file: ["txt"], wheel_file: ["whl"] };

class Refused extends Error {}
class SignedOut extends Error {}

function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let place = 0;
  while (count >= 1000 && place < units.length - 1) { count /= 1000; place++; }
  return place ? `${count.toPrecision(3)} ${units[place]}` : `${count} bytes`;
}

function left(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return `, ${Math.max(1, Math.round(seconds))} s left`;
  return seconds < 3600 ? `, ${Math.round(seconds / 60)} min left` : `, ${(seconds / 3600).toFixed(1)} h left`;
}

function* chosen() {
  for (const place of form.querySelectorAll("[data-file]")) {
    const input = place.querySelector("input[type=file]");
    if (input.files.length) yield { place, input, file: input.files[0] };
  }
}

function problem(place, text) {
  place.querySelector(".problem")?.remove();
  const line = document.createElement("p");
  line.className = "problem";
  line.textContent = text;
  place.append(line);
  place.querySelector("input").classList.add("is-invalid");
}

function clear(place) {
  place.querySelector(".problem")?.remove();
  place.querySelector("input").classList.remove("is-invalid");
}

function show(place, text, share = null) {
  const line = place.querySelector(".sending");
  line.hidden = !text;
  if (share === null) {
    line.textContent = text;
    return;
  }
  let bar = line.querySelector("progress");
  if (!bar) {
    line.textContent = "";
    bar = document.createElement("progress");
    bar.max = 1;
    bar.setAttribute("aria-label", "Progress");
    line.append(bar, document.createElement("span"));
  }
  bar.value = share;
  line.querySelector("span").textContent = text;
}

// Everything that can be known before the first byte is sent.
function wrong({ input, file }) {
  const ending = file.name.split(".").pop().toLowerCase();
  const allowed = ENDINGS[input.name];
  if (!allowed.includes(ending)) return `${file.name} does not end in .${allowed.join(" or .")}.`;
  if (file.size === 0) return `${file.name} is empty.`;
  const most = Number(form.dataset.most);
  if (file.size > most) return `${file.name} has ${bytes(file.size)}; at most ${bytes(most)} can be sent.`;
  return "";
}

async function digest({ place, file }) {
  const hash = new Sha256();
  for (let at = 0; at < file.size; at += PIECE) {
    hash.update(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
    show(place, `Reading ${Math.round((Math.min(at + PIECE, file.size) / file.size) * 100)} %`, Math.min(1, (at + PIECE) / file.size));
  }
  return `sha256:${hash.hex()}`;
}

async function isThere(url) {
  const answer = await fetch(url, { method: "HEAD" });
  if (answer.status === 401) throw new SignedOut();
  return answer.ok;
}

// What the server said, which is a problem document (RFC 9457).
function words(request) {
  try {
    const problem = JSON.parse(request.responseText);
    return `${problem.detail}. ${problem.hint}`.trim();
  } catch {
    return `The server refused it (${request.status}). Try again.`;
  }
}

function send(url, { place, file }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const start = performance.now();
    request.upload.addEventListener("progress", (event) => {
      const speed = event.loaded / Math.max(0.05, (performance.now() - start) / 1000);
      show(place, `${bytes(event.loaded)} of ${bytes(file.size)}, ${bytes(Math.round(speed))}/s${left((file.size - event.loaded) / speed)}`, event.loaded / file.size);
    });
    request.addEventListener("load", () => {
      if (request.status === 200 || request.status === 201) resolve();
      else if (request.status === 401 || request.status === 400) reject(new SignedOut());
      else reject(new Refused(words(request)));
    });
    request.addEventListener("error", () => reject(new Refused("The connection broke. Press Upload again: what arrived whole is not sent twice.")));
    request.open("PUT", url);
    request.setRequestHeader("X-CSRFToken", form.elements.csrf_token.value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
}

async function handle(item) {
  const { place, input, file } = item;
  const name = await digest(item);
  const url = form.dataset.upload + name;
  if (await isThere(url)) show(place, `${file.name}: already stored, not sent again`);
  else {
    await send(url, item);
    show(place, `${file.name}: ${bytes(file.size)} sent`);
  }
  form.elements[place.dataset.file].value = name;
  form.elements[place.dataset.label].value = file.name;
  input.value = ""; // the digest stands for it from here on
}

function guessFormat(input) {
  const wanted = FORMATS[input.files[0]?.name.split(".").pop().toLowerCase()];
  for (const radio of form.querySelectorAll("input[name=format]")) if (wanted) radio.checked = radio.value === wanted;
}

let busy = false;

async function upload(event) {
  const items = [...chosen()];
  if (busy) event.preventDefault();
  if (busy || items.length === 0) return;
  event.preventDefault();
  let good = true;
  for (const item of items) {
    clear(item.place);
    const text = wrong(item);
    if (text) { problem(item.place, text); good = false; }
  }
  if (!good) {
    form.querySelector(".is-invalid").focus();
    return;
  }
  const button = form.querySelector("button.btn-primary");
  busy = button.disabled = true;
  try {
    for (const item of items) {
      try {
        await handle(item);
      } catch (error) {
        if (error instanceof SignedOut) throw error;
        show(item.place, "");
        problem(item.place, error instanceof Refused ? error.message : `${item.file.name} could not be read. Choose it again.`);
        say("The upload stopped.");
        return;
      }
    }
    say("All files are there.");
    form.submit();
  } catch {
    // Signed out meanwhile: the form's own address asks for the sign-in and keeps what was typed.
    for (const { input } of items) input.disabled = true;
    form.submit();
  } finally {
    busy = button.disabled = false;
  }
}

if (form) {
  form.addEventListener("submit", upload);
  form.querySelector("input[name=model_file]").addEventListener("change", (event) => guessFormat(event.target));
  for (const input of form.querySelectorAll("input[type=file]")) input.addEventListener("change", () => clear(input.closest("[data-file]")));
  window.addEventListener("beforeunload", (event) => { if (busy) event.preventDefault(); });
}

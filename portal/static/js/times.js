// Keeps "3 minutes ago" true while a page stays open. The words are those of portal/filters.py.
const STEPS = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export function relative(moment, now = Date.now()) {
  const delta = (now - moment) / 1000;
  const size = Math.abs(delta);
  if (size < 10) return "just now";
  const [unit, seconds] = STEPS.find(([, length]) => size >= length) ?? STEPS.at(-1);
  const count = Math.floor(size / seconds);
  if (unit === "day" && count === 1) return delta > 0 ? "yesterday" : "tomorrow";
  const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return delta > 0 ? `${words} ago` : `in ${words}`;
}

export function install(root) {
  setInterval(() => {
    for (const element of root.querySelectorAll("time[data-relative]")) element.textContent = relative(Date.parse(element.dateTime));
  }, 30_000);
}

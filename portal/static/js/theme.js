// The theme switch acts at once; without this it is an ordinary form and reloads the page.
const YEAR = 365 * 24 * 3600;

export function install(root) {
  for (const form of root.querySelectorAll("form[data-theme-switch]")) {
    form.addEventListener("submit", (event) => {
      const chosen = event.submitter?.value;
      if (!chosen) return;
      event.preventDefault();
      const system = chosen === "system";
      if (system) delete document.documentElement.dataset.bsTheme;
      else document.documentElement.dataset.bsTheme = chosen;
      document.cookie = `theme=${system ? "" : chosen}; path=/; max-age=${system ? 0 : YEAR}; samesite=lax`;
      for (const button of form.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button === event.submitter));
    });
  }
}

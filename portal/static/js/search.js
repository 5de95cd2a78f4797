// "/" goes to the search field, unless one is typing already.
export function install(root) {
  const field = root.getElementById("search");
  if (!field) return;
  root.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    event.preventDefault();
    field.focus();
    field.select();
  });
}

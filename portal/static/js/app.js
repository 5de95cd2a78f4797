// What every page gets. Each module improves something that already works without it.
import { install as copy } from "./copy.js";
import { install as theme } from "./theme.js";
import { install as search } from "./search.js";
import { install as times } from "./times.js";
import { install as menus } from "./menus.js";
import { install as snippets } from "./snippets.js";

for (const install of [copy, theme, search, times, menus, snippets]) install(document);

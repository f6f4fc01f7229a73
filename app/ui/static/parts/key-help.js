/** The window that `?` opens. */

import { h, cell, faint } from "../html.js";
import { ACTIONS, boundKeys } from "../keys.js";
import { openDialog } from "./dialog.js";

/** Show the keys of the view that is shown. */
export function showKeys() {
  const rows = boundKeys().map(({ key, name }) =>
    h("tr", null, cell(h("kbd", null, key)), cell(ACTIONS[name]?.[1] ?? name)),
  );
  openDialog(
    "Keys",
    h("table", null, h("tbody", null, rows)),
    faint("Keys can be changed under ", h("a", { href: "/ui/settings" }, "Settings"), "."),
  );
}

/** The window that `?` opens. */

import { h } from "../html.js";
import { ACTIONS, boundKeys } from "../keys.js";
import { openDialog } from "./dialog.js";

/** Show the keys of the view that is shown. */
export function showKeys() {
  const rows = boundKeys().map(({ key, name }) =>
    h("tr", null, h("td", null, h("kbd", null, key)), h("td", null, ACTIONS[name]?.[1] ?? name)),
  );
  openDialog(
    "Keys",
    h("table", null, h("tbody", null, rows)),
    h("p", { class: "faint" }, "Keys can be changed under ", h("a", { href: "/ui/settings" }, "Settings"), "."),
  );
}

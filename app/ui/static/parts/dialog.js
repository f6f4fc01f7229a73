/** A window over the page; a click beside it closes it. */

import { h, buttons } from "../html.js";
import { button } from "./problem.js";

let serial = 0;

/** Answers a function that closes it. */
export function openDialog(title, ...content) {
  const name = `dialog-${++serial}`;
  const close = () => dialog.close();
  const dialog = h("dialog",
    { "aria-labelledby": name, onclose: () => dialog.remove(), onclick: (event) => event.target === dialog && close() },
    h("header", h("h2", { id: name }, title), h("button.quiet", { onclick: close, "aria-label": "Close" }, "×")),
    h("div.dialog-body", content));
  document.body.append(dialog);
  dialog.showModal();
  return close;
}

/** Ask before something is lost. `act` runs when the user agrees. */
export function confirmThen(title, text, verb, act) {
  const close = openDialog(title, h("p", text),
    buttons(button(verb, () => { close(); return act(); }, "danger"), button("Cancel", close)));
}

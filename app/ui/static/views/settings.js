/** Settings of this browser: the API key and the keys of the keyboard. Sent to this service alone. */

import { h, buttons, cell, fact, replace } from "../html.js";
import { apiKey, get, setApiKey } from "../api.js";
import { ACTIONS, changeKey, keyOf, resetKeys } from "../keys.js";
import { field } from "../parts/intake-forms.js";
import { notify, attempt } from "../parts/problem.js";

export async function show(screen, { signal }) {
  const key = h("input", { type: "password", autocomplete: "off", value: apiKey() });
  const save = (event) => {
    event.preventDefault();
    setApiKey(key.value.trim());
    notify(key.value.trim() ? "The key is kept until this tab is closed." : "No key is sent any more.");
  };
  const health = h("dl", { class: "facts" });
  replace(screen, h("h1", null, "Settings"),
    h("form", { class: "card", onsubmit: save }, field("API key", key, "Kept in this tab only. Leave it empty where the service asks for none."),
      buttons(h("button", { class: "primary" }, "Keep the key"))),
    h("section", { class: "card" }, field("Your name in reviews", reviewerInput(), "Stands beside your decisions.")),
    h("section", { class: "card" }, h("h2", null, "Keys"), keyTable(),
      buttons(h("button", { onclick: () => { resetKeys(); show(screen, { signal }); } }, "As they were"))),
    h("section", { class: "card" }, h("h2", null, "Service"), health));
  attempt(async () => {
    const ready = await get("/health/ready", signal);
    replace(health, fact("Status", ready.status), fact("Workers", String(ready.workers?.length ?? ready.workers ?? 0)));
  });
}

const reviewerInput = () =>
  h("input", { value: localStorage.getItem("datainf-reviewer") ?? "", maxlength: 100, autocomplete: "off",
    onchange: (event) => localStorage.setItem("datainf-reviewer", event.target.value.trim()) });

function keyTable() {
  return h("table", null, h("tbody", null, Object.entries(ACTIONS).map(([name, [, text]]) => {
    const input = h("input", { value: keyOf(name), maxlength: 1, size: 2, "aria-label": text, onchange: (event) => event.target.value && changeKey(name, event.target.value) });
    return h("tr", null, cell(text), cell(input));
  })));
}

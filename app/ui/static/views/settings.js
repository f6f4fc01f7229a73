/** Settings of this browser: API key and keyboard. */

import {
  ACTIONS, apiKey, attempt, button, buttons, changeKey, fact, facts, field, get, h, keyOf, notify, replace, resetKeys,
  setApiKey, table,
} from "../kit.js";

export async function show(screen, { signal }) {
  const key = h("input", { type: "password", autocomplete: "off", value: apiKey() });
  const save = (event) => {
    event.preventDefault();
    setApiKey(key.value.trim());
    notify(key.value.trim() ? "The key is kept until this tab is closed." : "No key is sent any more.");
  };
  const again = () => { resetKeys(); show(screen, { signal }); };
  const health = facts();
  replace(screen, h("h1", "Settings"),
    h("form.card", { onsubmit: save }, field("API key", key, "Kept in this tab only. Leave it empty where the service asks for none."),
      buttons(h("button.primary", "Keep the key"))),
    h("section.card", field("Your name in reviews", reviewerInput(), "Stands beside your decisions.")),
    h("section.card", h("h2", "Keys"), keyTable(), buttons(button("As they were", again))),
    h("section.card", h("h2", "Service"), health));
  attempt(async () => {
    const ready = await get("/health/ready", signal);
    replace(health, fact("Status", ready.status), fact("Workers", String(ready.workers?.length ?? ready.workers ?? 0)));
  });
}

const reviewerInput = () =>
  h("input", { value: localStorage.getItem("datainf-reviewer") ?? "", maxlength: 100, autocomplete: "off",
    onchange: (event) => localStorage.setItem("datainf-reviewer", event.target.value.trim()) });

const keyTable = () => table(null, Object.entries(ACTIONS).map(([name, [, text]]) => [h("td", text), h("td",
  h("input", { value: keyOf(name), maxlength: 1, size: 2, "aria-label": text, onchange: (event) => event.target.value && changeKey(name, event.target.value) }))]), null);

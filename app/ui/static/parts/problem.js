/** Errors as a person can act on them. */

import { h, buttons, faint, link } from "../html.js";
import { setApiKey } from "../api.js";

export const problemBox = (error, again) =>
  h("section.problem", { role: "alert" },
    h("h2", error.title ?? "Something went wrong"),
    h("p", error.message ?? error.detail ?? "The work failed."),
    error.hint && h("p.hint", error.hint),
    error.status === 401 && keyForm(again),
    buttons(again && error.status !== 401 && h("button", { onclick: again }, "Try again"), link("/", "Home", "button")),
    error.request_id && faint("Request ", h("code", error.request_id)));

function keyForm(again) {
  const field = h("input", { type: "password", id: "api-key", autocomplete: "off", required: true });
  const save = (event) => {
    event.preventDefault();
    setApiKey(field.value.trim());
    again?.();
  };
  return h("form.inline", { onsubmit: save },
    h("label", { for: "api-key" }, "API key"), field, h("button.primary", "Use this key"));
}

export function notify(text, kind = "info") {
  const notice = h("div", { class: ["notice", kind] }, text);
  document.getElementById("notices").append(notice);
  setTimeout(() => notice.remove(), 6000);
}

export async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    if (error.name !== "AbortError") notify(`${error.message} ${error.hint ?? ""}`, "error");
    return undefined;
  }
}

export const button = (text, act, kind) => h("button", { type: "button", class: kind, onclick: () => attempt(act) }, text);

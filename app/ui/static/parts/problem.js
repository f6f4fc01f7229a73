/** Errors as a person can act on them: what, why, what to do next, and the id to quote. */

import { h, buttons, faint, replace } from "../html.js";
import { setApiKey } from "../api.js";

/** An error in place of a view. */
export function showProblem(element, error, again) {
  return replace(element, problemBox(error, again));
}

/** An error as a box; `again` makes a button that tries once more. */
export function problemBox(error, again) {
  return h(
    "section",
    { class: "problem", role: "alert" },
    h("h2", null, error.title ?? "Something went wrong"),
    h("p", null, error.message),
    error.hint && h("p", { class: "hint" }, error.hint),
    error.status === 401 && keyForm(again),
    buttons(
      again && error.status !== 401 && h("button", { onclick: again }, "Try again"),
      h("a", { class: "button", href: "/ui/" }, "Home"),
    ),
    error.requestId && faint("Request ", h("code", null, error.requestId)),
  );
}

function keyForm(again) {
  const field = h("input", { type: "password", id: "api-key", autocomplete: "off", required: true });
  const save = (event) => {
    event.preventDefault();
    setApiKey(field.value.trim());
    again?.();
  };
  return h("form", { class: "inline", onsubmit: save },
    h("label", { for: "api-key" }, "API key"), field, h("button", { class: "primary" }, "Use this key"));
}

/** An error of a job as the API stores it. */
export const jobError = (error) =>
  Object.assign(new Error(error?.detail ?? "The work failed."), {
    title: error?.title ?? "Failed",
    hint: error?.hint,
  });

/** A short notice at the edge of the page. */
export function notify(text, kind = "info") {
  const notice = h("div", { class: ["notice", kind] }, text);
  document.getElementById("notices").append(notice);
  setTimeout(() => notice.remove(), 6000);
}

/** Run something that may fail and say so in a notice. */
export async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    if (error.name !== "AbortError") notify(`${error.message} ${error.hint ?? ""}`, "error");
    return undefined;
  }
}

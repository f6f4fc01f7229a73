/** Fields and forms. */

import { h, buttons, choice, faint, replace } from "../html.js";
import { clip, count } from "../format.js";
import { problemBox } from "./problem.js";

let serial = 0;

export function field(label, input, help) {
  const id = `field-${++serial}`;
  input.id = id;
  return h("div.field", h("label", { for: id }, label), input, help && faint(help));
}

/** A form that says in its own place what its act answers, and what went wrong. */
export function form(fields, verb, act, kind) {
  const answer = h("div", { role: "status" });
  const button = h("button.primary", verb);
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    replace(answer, faint("Sending …"));
    try {
      replace(answer, await act());
    } catch (error) {
      replace(answer, problemBox(error));
    }
    button.disabled = false;
  };
  return h("form", { class: kind, onsubmit: submit }, fields, buttons(button), answer);
}

export const datasetChoice = (datasets, chosen) =>
  choice(datasets.map((item) => [item.id, `${clip(item.name ?? item.kind, 40)}, ${count(item.rows)} rows`]), chosen);

export const fileInput = (accept, required = true) => h("input", { type: "file", accept, required });
export const numberInput = (value, min = 0, max = null) => h("input", { type: "number", min, max, value, required: true });
export const textInput = (placeholder, required = false) => h("input", { placeholder, required, autocomplete: "off" });

/** What is asked: a row of a data set or a typed one, against which answer, by which method. */

import { h, buttons, choice, faint, replace } from "../html.js";
import { find } from "../api.js";
import { clip, count, labelName, rowText } from "../format.js";
import { field } from "./intake-forms.js";
import { picture, pictureInput } from "./picture.js";

/** Roles that are typed, by kind of row: [name, label, isLong]. */
const TYPED = {
  classification: [["text", "Text", true], ["label", "Label", false]],
  completion: [["prompt", "Prompt", true], ["completion", "Completion", true]],
  text: [["text", "Text", true]],
  image_classification: [["image", "Image"], ["label", "Label"]],
  image_caption: [["image", "Image"], ["text", "Text", true]],
};

/** In a method's place: the service takes one, names it and says why. */
const AUTO = { name: "auto", title: "Automatic", summary: "What agreed best with retraining, here or in our own tests." };

/**
 * The form of a test point.
 * @param {object} context index, data sets, methods and names of the view
 * @param {object} start a query's request, to begin from
 * @param {(request: object) => void} ask
 */
export async function pointForm(context, start, ask) {
  const source = await sourceFields(context, start);
  const target = choice([["label", "the reference"], ["prediction", "the model's own answer"]], start.target);
  const methods = [AUTO, ...context.methods];
  const method = choice(methods.map((item) => [item.name, `${item.title}${item.is_baseline ? " (baseline)" : ""}`]), start.method ?? "auto");
  const meaning = faint();
  const explain = () => replace(meaning, methods.find((item) => item.name === method.value)?.summary ?? "");
  method.addEventListener("change", explain);
  explain();
  const k = h("input", { type: "number", min: 1, max: 200, value: start.k ?? 10 });
  const submit = async (event) => {
    event.preventDefault();
    ask({ ...(await source.read()), target: target.value, method: method.value, k: Math.min(Number(k.value), context.index.rows_indexed ?? context.index.rows) });
  };
  return h("form", { onsubmit: submit },
    source.element, field("Explain", target), field("Method", method), meaning, field("Rows each way", k),
    buttons(h("button", { class: "primary" }, "Ask")));
}

async function sourceFields(context, start) {
  const typed = typedFields(context, start);
  const stored = storedFields(context, start);
  const isTyped = Boolean(start.examples) && typed !== null;
  if (typed === null) return stored;
  const body = h("div");
  const choices = [["A row", stored], ["Typed", typed]];
  let chosen = choices[isTyped ? 1 : 0];
  const buttons = choices.map((choice) => h("button", { type: "button", onclick: () => choose(choice) }, choice[0]));
  const choose = (choice) => {
    chosen = choice;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(choices[i] === choice)));
    replace(body, choice[1].element);
  };
  choose(chosen);
  return { element: h("div", null, h("div", { class: "tabs" }, buttons), body), read: () => chosen[1].read() };
}

function typedFields({ dataset, names }, start) {
  const roles = TYPED[dataset?.kind];
  if (!roles) return null;
  const example = start.examples?.[0] ?? {};
  const inputs = roles.map(([role, label, isLong]) => {
    const input = role === "image" ? pictureInput() : isLong ? h("textarea", { rows: 3, required: true }) : labelInput(names);
    if (role !== "image" && example[role] !== undefined) input.value = role === "label" ? labelName(example[role], names) : example[role];
    return [role, label, input];
  });
  const valueOf = (role, input) => input.read?.() ?? (role === "label" ? typedLabel(input.value, names) : input.value);
  const read = async () => ({ examples: [Object.fromEntries(await Promise.all(inputs.map(async ([role, , input]) => [role, await valueOf(role, input)])))] });
  return { element: h("div", null, inputs.map(([, label, input]) => field(label, input))), read };
}

const labelInput = (names) => names?.length
  ? choice(names.map((name) => [name, name]))
  : h("input", { required: true, autocomplete: "off" });

const typedLabel = (text, names) => (names?.includes(text) || !/^\d+$/.test(text) ? text : Number(text));

function storedFields({ datasets, dataset }, start) {
  const chosen = start.rows?.dataset_id ?? dataset?.id;
  const select = choice(datasets.map((item) => [item.id, `${clip(item.name ?? item.kind, 40)}, ${count(item.rows)} rows`]), chosen);
  const number = h("input", { type: "number", min: 0, value: start.rows?.row_indexes?.[0] ?? 0, required: true });
  const sample = h("p", { class: "text sample" });
  const look = async () => {
    const page = await find(`/v1/datasets/${select.value}/rows?offset=${Number(number.value)}&length=1`);
    const row = page?.data[0];
    replace(sample, row ? [picture(row.row, select.value, row.row_index), clip(rowText(row.row), 300)] : "No such row.");
  };
  select.addEventListener("change", look);
  number.addEventListener("input", look);
  look();
  const read = () => ({ rows: { dataset_id: select.value, row_indexes: [Number(number.value)] } });
  return { element: h("div", null, field("Data set", select), field("Row", number), sample), read };
}

/** What is asked, and how. */

import {
  choice, clip, datasetChoice, faint, field, find, form, h, labelName, numberInput, replace, rowText, textInput,
} from "../kit.js";
import { picture, pictureInput } from "./picture.js";
import { answerOf, forField, selectSpan, selectedSpan } from "./span.js";

/** What is typed, by kind of row; the answer comes last. */
const TYPED = {
  classification: ["text", "label"], completion: ["prompt", "completion"], text: ["text"],
  image_classification: ["image", "label"], image_caption: ["image", "text"],
};
/** Kinds of rows whose answers have parts, and those held against another. */
const WITH_PARTS = ["completion", "conversation", "text"];
const WITH_OTHERS = ["completion", "conversation", "classification", "image_classification"];

/** In a method's place: the service takes one, names it and says why. */
const AUTO = { name: "auto", title: "Automatic", summary: "What agreed best with retraining, here or in our own tests." };

/** The form; `start` is a query's request to begin from, `ask` takes the new one. */
export function pointForm(context, start, ask) {
  const { index, names } = context;
  const kind = context.dataset?.kind;
  const source = sourceFields(context, start);
  const span = start.target?.span;
  const target = choice([["label", "the reference"], ["prediction", "the model's own answer"],
    ...(WITH_PARTS.includes(kind) ? [["span", "a part of the answer"]] : [])], span ? "span" : start.target);
  const against = WITH_OTHERS.includes(kind) && labelInput(names, start.against, false);
  const methods = [AUTO, ...context.methods];
  const method = choice(methods.map((item) => [item.name, `${item.title}${item.is_baseline ? " (baseline)" : ""}`]), start.method ?? "auto");
  const meaning = faint();
  const k = numberInput(start.k ?? 10, 1, 200);
  const extras = [["tokens", "show which tokens count"], ["levels", "say which rows stand out"]].map(([name, text]) => [name, text,
    h("input", { type: "checkbox", checked: start.include?.includes(name) })]);
  const act = async () => ask({
    ...(await source().read()), method: method.value, k: Math.min(Number(k.value), index.rows_indexed ?? index.rows),
    target: target.value === "span" ? { span: selectedSpan(source().answer) } : target.value,
    against: target.value !== "span" && against?.value ? typedLabel(against.value, names) : undefined,
    include: extras.filter(([, , box]) => box.checked).map(([name]) => name),
  });
  const made = form([
    field("Explain", target), source.element, against && h("div.whole", field("Against another answer", against)),
    field("Method", method), meaning, field("Rows each way", k), extras.map(([, text, box]) => h("p", h("label", box, ` ${text}`)))], "Ask", act);
  const explain = () => {
    replace(meaning, methods.find((item) => item.name === method.value)?.summary ?? "");
    made.dataset.target = target.value;
  };
  made.addEventListener("change", explain);
  explain();
  if (span) source().looked.then(() => selectSpan(source().answer, span));
  return made;
}

/** What says where the point comes from: its fields are `element`; `answer` is one of them, filled once it has `looked`. */
function sourceFields(context, start) {
  const [typed, stored] = [typedFields(context, start), storedFields(context, start)];
  let chosen = start.examples && typed ? typed : stored;
  const body = h("div", chosen.element);
  const tabs = typed && [["A row", stored], ["Typed", typed]].map(([name, fields]) => {
    const choose = () => {
      chosen = fields;
      for (const other of tabs) other.ariaPressed = String(other === tab);
      replace(body, fields.element);
    };
    const tab = h("button", { type: "button", "aria-pressed": String(chosen === fields), onclick: choose }, name);
    return tab;
  });
  return Object.assign(() => chosen, { element: h("div", h("div.tabs", tabs), body) });
}

function typedFields({ dataset, names }, start) {
  const roles = TYPED[dataset?.kind];
  if (!roles) return null;
  const example = start.examples?.[0] ?? {};
  const inputs = roles.map((role) => (role === "image" ? pictureInput() : role === "label" ? labelInput(names, example.label)
    : h("textarea", { rows: 3, required: true, value: example[role] ?? "" })));
  const answer = inputs.at(-1);
  const valueOf = (role, input) => input.read?.() ?? (role === "label" ? typedLabel(input.value, names) : input.value);
  const read = async () => ({ examples: [Object.fromEntries(await Promise.all(roles.map(async (role, i) => [role, await valueOf(role, inputs[i])])))] });
  return { read, answer, looked: Promise.resolve(),
    element: h("div", roles.map((role, i) => field(role[0].toUpperCase() + role.slice(1), inputs[i])), h("p.faint.part", "Select the part in the answer above.")) };
}

/** A field for an answer: one of the names where there are any. */
function labelInput(names, value, required = true) {
  const input = names?.length ? choice([...(required ? [] : [["", "none"]]), ...names.map((name) => [name, name])]) : textInput(null, required);
  if (value != null) input.value = labelName(value, names);
  return input;
}

const typedLabel = (text, names) => (names?.includes(text) || !/^\d+$/.test(text) ? text : Number(text));

function storedFields({ datasets, dataset }, start) {
  const select = datasetChoice(datasets.filter((item) => !dataset || item.kind === dataset.kind), start.rows?.dataset_id ?? dataset?.id);
  const number = numberInput(start.rows?.row_indexes?.[0] ?? 0);
  const sample = h("p.text.faint");
  // Where nothing may be typed at all, the keyboard selects nothing either.
  const answer = h("textarea", { rows: 3, onbeforeinput: (event) => event.preventDefault() });
  const look = async () => {
    const page = await find(`/v1/datasets/${select.value}/rows?offset=${Number(number.value)}&length=1`);
    const row = page?.data[0];
    answer.value = forField((row && answerOf(row.row)) ?? "");
    replace(sample, row ? [picture(row.row, select.value, row.row_index), clip(rowText(row.row), 300)] : "No such row.");
  };
  select.addEventListener("change", look);
  number.addEventListener("input", look);
  return { read: () => ({ rows: { dataset_id: select.value, row_indexes: [Number(number.value)] } }),
    answer, looked: look(),
    element: h("div", field("Data set", select), field("Row", number), h("div.whole", sample), h("div.part", field("Part of the answer", answer, "Select it."))) };
}

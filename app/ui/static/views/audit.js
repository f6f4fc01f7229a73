/** An audit: every row by how odd its label looks, with the model's own answer beside it. */

import { h, aside, buttons, cell, choice, fact, faint, number, replace } from "../html.js";
import { download, find, get, isFinal, post } from "../api.js";
import { clip, count, labelName, percent, rowText, short } from "../format.js";
import { go, note } from "../router.js";
import { bindKeys } from "../keys.js";
import { showKeys } from "../parts/key-help.js";
import { attempt, jobError, problemBox } from "../parts/problem.js";
import { watchHere } from "../parts/progress.js";
import { picture } from "../parts/picture.js";
import { shareBar } from "../charts/bars.js";

const LENGTH = 50;
const SORTS = ["suspicion", "loss", "self_influence", "score", "probability", "margin", "row_index"];

export async function show(screen, { audit: id, query: parameters, signal }) {
  let audit = await get(`/v1/audits/${id}`, signal);
  const state = h("div");
  replace(screen, h("h1", null, audit.name ?? "Which labels look wrong?"), state);
  if (!isFinal(audit)) {
    await watchHere(state, audit.job_id, signal);
    audit = await get(`/v1/audits/${id}`, signal);
  }
  if (audit.state !== "succeeded") return void replace(state, problemBox(jobError(audit.error)));
  const index = await find(`/v1/indexes/${audit.index_id}`, signal);
  const checkpoint = index && (await find(`/v1/checkpoints/${index.spec.checkpoint_id}`, signal));
  const view = { audit, index, names: checkpoint?.label_names, signal, parameters: { ...parameters } };
  const table = h("div");
  const refill = () => fillTable(table, view, refill);
  replace(state, head(view), filters(view, refill), table);
  bindKeys({
    help: showKeys,
    next: () => turn(view, LENGTH, refill),
    previous: () => turn(view, -LENGTH, refill),
    search: () => state.querySelector("select")?.focus(),
  });
  await refill();
}

function head({ audit, index }) {
  return h("div", null,
    h("p", { class: "lead" },
      audit.accuracy != null && `The model agrees with ${percent(audit.accuracy, 1)} of the labels. `,
      "The rows it disagrees with most stand first; look before you change anything."),
    h("details", null, h("summary", null, "What the signals mean"),
      h("dl", { class: "facts" }, audit.signals.map((signal) => fact(signal.name, signal.meaning, signal.weight === 0 && " (shown, not counted)")))),
    buttons(
      h("button", { class: "primary", onclick: () => beginReview(audit) }, "Review these rows"),
      ["csv", "jsonl", "parquet"].map((kind) => h("button", { onclick: () => attempt(() => download(`/v1/audits/${audit.id}/table`, `${audit.id}.${kind}`, MEDIA[kind])) }, `Download ${kind}`)),
      index && h("a", { class: "button quiet", href: `/ui/indexes/${index.id}` }, "Index")),
  );
}

const beginReview = (audit) => attempt(async () => {
  const review = await post("/v1/reviews", { dataset_id: audit.dataset_id, audit_id: audit.id });
  go(`/reviews/${review.id}`);
});

const MEDIA = { csv: "text/csv", jsonl: "application/jsonl", parquet: "application/vnd.apache.parquet" };

function filters(view, refill) {
  const { parameters } = view;
  const change = (changes) => {
    Object.assign(view.parameters, changes, { offset: 0 });
    note(view.parameters);
    refill();
  };
  const select = (label, name, options) => h("label", null, label, " ",
    choice(options, parameters[name], (value) => change({ [name]: value })));
  const labels = (view.audit.classes ?? []).map((item) => [item.label, labelName(item.label, view.names)]);
  return h("div", { class: "filters" },
    select("Sorted by", "sort", SORTS.map((name) => [name, name.replaceAll("_", " ")])),
    select("Order", "order", [["", "largest first"], ["asc", "smallest first"]]),
    labels.length > 0 && select("Label", "label", [["", "all"], ...labels]),
    labels.length > 0 && select("Model answers", "predicted", [["", "all"], ...labels]),
    labels.length > 0 && h("label", null, h("input", { type: "checkbox", checked: parameters.disagree === "true", onchange: (event) => change({ disagree: event.target.checked ? "true" : "" }) }), " only where they disagree"),
  );
}

function turn(view, step, refill) {
  const offset = Math.max(0, Number(view.parameters.offset ?? 0) + step);
  if (offset >= view.rows) return;
  view.parameters.offset = offset;
  note(view.parameters);
  refill();
}

async function fillTable(element, view, refill) {
  const { audit, parameters, signal, names } = view;
  const query = new URLSearchParams(Object.entries({ ...parameters, length: LENGTH }).filter(([, value]) => value !== "" && value !== undefined));
  const page = await get(`/v1/audits/${audit.id}/rows?${query}`, signal);
  view.rows = page.rows;
  const offset = Number(parameters.offset ?? 0);
  const columns = audit.signals.map((item) => item.name);
  replace(element,
    faint(`${count(page.rows)} rows`, page.rows > 0 && `, ${count(offset + 1)} to ${count(Math.min(page.rows, offset + LENGTH))}`),
    h("table", { class: "wide" },
      h("thead", null, h("tr", null, ["Suspicion", "Row", "Label", "Model answers", "Loss", ""].map((name) => h("th", { scope: "col" }, name || h("span", { class: "hidden" }, "Actions"))))),
      h("tbody", null, page.data.map((row) => auditRow(row, view, names, columns)))),
    buttons(
      h("button", { disabled: offset === 0, onclick: () => turn(view, -LENGTH, refill) }, "Previous"),
      h("button", { disabled: !page.has_more, onclick: () => turn(view, LENGTH, refill) }, "Next")),
  );
}

function auditRow(row, view, names) {
  const disagrees = row.predicted_label !== null && row.label !== null && row.predicted_label !== row.label;
  return h("tr", { class: disagrees && "disagrees" },
    cell(shareBar(row.suspicion ?? 0, short(row.suspicion), "harmful")),
    h("td", { class: "text" }, picture(row.row, view.audit.dataset_id, row.row_index), clip(rowText(row.row), 200), aside(` ${row.row_id}`)),
    cell(labelName(row.label, names)),
    cell(labelName(row.predicted_label, names), row.predicted_probability != null && aside(` ${percent(row.predicted_probability)}`)),
    number(short(row.loss)),
    cell(view.index && h("a", { class: "button", href: `/ui/indexes/${view.index.id}/trace?dataset=${view.index.spec.dataset_id}&row=${row.row_index}` }, "Why")),
  );
}

/** A data set: where it comes from, what looks wrong with it, its rows, and what to do next. */

import { h, buttons, cell, fact, faint, headings, replace, warnings } from "../html.js";
import { find, get, post } from "../api.js";
import { labelName, ago, bytes, clip, count, rowText } from "../format.js";
import { go, note } from "../router.js";
import { attempt } from "../parts/problem.js";
import { picture } from "../parts/picture.js";

const LENGTH = 25;

export async function show(screen, { dataset: id, query: parameters, signal }) {
  const dataset = await get(`/v1/datasets/${id}`, signal);
  const index = parameters.index ? await find(`/v1/indexes/${parameters.index}`, signal) : null;
  const rows = h("div");
  replace(screen, h("h1", null, dataset.name ?? "Data set"), facts(dataset), origin(dataset),
    warnings(dataset.problems),
    buttons(
      h("button", { onclick: () => attempt(async () => go(`/reviews/${(await post("/v1/reviews", { dataset_id: id })).id}`)) }, "Review its rows"),
      index && dataset.derived_from && h("button", { class: "primary", onclick: () => rebuild(index, dataset) }, index.spec.storage === "compact" ? "Grow the index to it" : "Build its index")),
    rows);
  await fillRows(rows, id, Number(parameters.offset ?? 0), signal);
}

const facts = (dataset) => h("dl", { class: "facts" },
  [["Rows", count(dataset.rows)], ["Kind", dataset.kind], ["Size", bytes(dataset.bytes)], ["Made", ago(dataset.created_at)],
    ["Columns", Object.entries(dataset.columns).map(([role, column]) => (role === column ? role : `${role} from ${column}`)).join(", ") || "–"]]
    .map((item) => fact(...item)));

function origin({ derived_from: made }) {
  if (!made) return null;
  return h("p", { class: "lead" }, "Made from ", h("a", { href: `/ui/datasets/${made.dataset_id}` }, "its source"), " by ",
    h("a", { href: `/ui/reviews/${made.review_id}` }, "a review"), `: ${count(made.rows_in)} rows, ${count(made.removed)} removed, ${count(made.relabelled)} relabelled`,
    made.reviewers.length > 0 && ` by ${made.reviewers.join(", ")}`, ".");
}

const rebuild = (index, dataset) => attempt(async () => {
  const { spec } = index;
  const growing = spec.storage === "compact" ? { grow_from: index.id } : { storage: spec.storage };
  const made = await post("/v1/indexes", { checkpoint_id: spec.checkpoint_id, dataset_id: dataset.id, ...spec.gradients, ...growing });
  go(`/indexes/${made.id}`);
});

async function fillRows(element, id, offset, signal) {
  const page = await get(`/v1/datasets/${id}/rows?offset=${offset}&length=${LENGTH}`, signal);
  const turn = (to) => { note({ offset: to }); attempt(() => fillRows(element, id, to, signal)); };
  replace(element,
    faint(`Rows ${count(offset)} to ${count(offset + page.data.length - 1)} of ${count(page.rows)}`),
    h("table", { class: "wide" }, headings(["Row", "Text", "Label"]),
      h("tbody", null, page.data.map((row) => h("tr", null, cell(row.row_id), h("td", { class: "text" }, picture(row.row, id, row.row_index), clip(rowText(row.row), 300)), cell(labelName(row.row.label)))))),
    buttons(h("button", { disabled: offset === 0, onclick: () => turn(Math.max(0, offset - LENGTH)) }, "Previous"), h("button", { disabled: !page.has_more, onclick: () => turn(page.next) }, "Next")));
}

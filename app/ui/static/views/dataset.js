/** Where rows come from, their problems, what to do next. */

import {
  ago, aside, attempt, button, buttons, bytes, cell, count, fact, facts, faint, find, get, go, h, labelName, link, note, post,
  replace, table, warnings,
} from "../kit.js";
import { pager, rebuild } from "../parts/filters.js";
import { picture, rowCell } from "../parts/picture.js";

const LENGTH = 25;

export async function show(screen, { dataset: id, query: parameters, signal }) {
  const dataset = await get(`/v1/datasets/${id}`, signal);
  const index = parameters.index ? await find(`/v1/indexes/${parameters.index}`, signal) : null;
  const rows = h("div");
  const review = async () => go(`/reviews/${(await post("/v1/reviews", { dataset_id: id })).id}`);
  replace(screen, h("h1", dataset.name ?? "Data set"), origin(dataset),
    facts(fact("Rows", count(dataset.rows)), fact("Kind", dataset.kind), fact("Size", bytes(dataset.bytes)), fact("Made", ago(dataset.created_at)),
      fact("Columns", Object.entries(dataset.columns).map(([role, column]) => (role === column ? role : `${role} from ${column}`)).join(", ") || "–")),
    warnings(dataset.problems),
    buttons(
      button("Review its rows", review),
      index && dataset.derived_from && button(index.spec.storage === "compact" ? "Grow the index to it" : "Build its index", () => rebuild(index, id), "primary")),
    rows);
  await fillRows(rows, id, Number(parameters.offset ?? 0), signal);
}

function origin({ derived_from: made }) {
  return made && h("p.lead", "Made from ", link(`/datasets/${made.dataset_id}`, "its source"), " by ", link(`/reviews/${made.review_id}`, "a review"),
    `: ${count(made.rows_in)} rows, ${count(made.removed)} removed, ${count(made.relabelled)} relabelled`,
    made.reviewers.length > 0 && ` by ${made.reviewers.join(", ")}`, ".");
}

async function fillRows(element, id, offset, signal) {
  const page = await get(`/v1/datasets/${id}/rows?offset=${offset}&length=${LENGTH}`, signal);
  const turn = (to) => { note({ offset: to }); attempt(() => fillRows(element, id, to, signal)); };
  replace(element,
    faint(`Rows ${count(offset)} to ${count(offset + page.data.length - 1)} of ${count(page.rows)}`),
    page.data[0]?.row.image
      ? h("ul.pictures", page.data.map((row) => h("li", picture(row.row, id, row.row_index, 192), h("div", labelName(row.row.label)), aside(row.row_id))))
      : table(["Row", "Text", "Label"], page.data.map((row) => [cell(row.row_id), rowCell(row, id, 300), cell(labelName(row.row.label))])),
    pager(offset, LENGTH, page.has_more, turn));
}

/** Every row by how odd its label looks. */

import {
  aside, attempt, bindKeys, button, buttons, cell, count, download, fact, facts, faint, go, h, labelName, link, naming, note,
  number, percent, post, replace, short, table, tracePath, workView,
} from "../kit.js";
import { auditFilters, pager, rowsOf } from "../parts/filters.js";
import { rowCell } from "../parts/picture.js";
import { shareBar } from "../charts/bars.js";

const LENGTH = 50;
const MEDIA = { csv: "text/csv", jsonl: "application/jsonl", parquet: "application/vnd.apache.parquet" };

export async function show(screen, { audit: id, query: parameters, signal }) {
  const view = { audit: { id }, signal, parameters, table: h("div") };
  // Asked for beside the audit; what is refused, for it is not finished, is asked for again.
  const first = fetchRows(view).catch(() => null);
  const [audit, state] = await workView(screen, `/v1/audits/${id}`, signal, ({ name }) => h("h1", name ?? "Which labels look wrong?"));
  if (!audit) return;
  Object.assign(view, { audit, names: audit.label_names });
  const change = (changes) => turn(view, 0, changes);
  replace(state, head(view), auditFilters(view, change), view.table);
  bindKeys({
    next: () => view.hasMore && turn(view, offsetOf(view) + LENGTH),
    previous: () => turn(view, Math.max(0, offsetOf(view) - LENGTH)),
    search: () => state.querySelector("[type=search]")?.focus(),
  });
  await fillTable(view, await first);
}

const head = ({ audit }) => [
  h("p.lead",
    audit.accuracy != null && `The model agrees with ${percent(audit.accuracy, 1)} of the labels. `,
    "The rows it disagrees with most stand first; look before you change anything."),
  h("details", h("summary", "What the signals mean"),
    facts(audit.signals.map((signal) => fact(signal.name, signal.meaning, signal.weight === 0 && " (shown, not counted)")))),
  buttons(
    button("Review these rows", () => beginReview(audit), "primary"),
    Object.entries(MEDIA).map(([kind, type]) => button(`Download ${kind}`, () => download(`/v1/audits/${audit.id}/table`, `${audit.id}.${kind}`, type))),
    link(`/indexes/${audit.index_id}`, "Index", "button quiet"))];

async function beginReview(audit) {
  const review = await post("/v1/reviews", { dataset_id: audit.dataset_id, audit_id: audit.id });
  go(`/reviews/${review.id}`);
}

const offsetOf = ({ parameters }) => Number(parameters.offset ?? 0);

function turn(view, offset, changes = {}) {
  Object.assign(view.parameters, changes, { offset });
  note(view.parameters);
  attempt(() => fillTable(view));
}

const fetchRows = (view) => rowsOf(`/v1/audits/${view.audit.id}`, view, offsetOf(view), LENGTH);

async function fillTable(view, known) {
  const offset = offsetOf(view);
  const page = known ?? await fetchRows(view);
  view.hasMore = page.has_more;
  replace(view.table,
    faint(`${count(page.rows)} rows`, page.rows > 0 && `, ${count(offset + 1)} to ${count(Math.min(page.rows, offset + LENGTH))}`),
    table(["Suspicion", "Row", "Label", "Model answers", "Loss", ".Actions"], page.data.map((row) => auditRow(row, view))),
    pager(offset, LENGTH, page.has_more, (to) => turn(view, to)));
}

function auditRow(row, { audit, names }) {
  const disagrees = row.predicted_label !== null && row.label !== null && row.predicted_label !== row.label;
  return h("tr", { class: disagrees && "disagrees" },
    cell(shareBar(row.suspicion ?? 0, short(row.suspicion), "harmful")),
    rowCell(row, audit.dataset_id, 200, aside(` ${naming(row)}`)),
    cell(labelName(row.label, names)),
    cell(labelName(row.predicted_label, names), row.predicted_probability != null && aside(` ${percent(row.predicted_probability)}`)),
    number(short(row.loss)),
    cell(link(tracePath(audit.index_id, audit.dataset_id, row.row_index), "Why", "button")));
}

/** Two indexes beside each other: rows, answers, audits. */

import {
  cell, clip, count, fact, facts, faint, get, h, labelName, link, number, percent, plainList, replace, rowText, section, short,
  shortId, table, warnings, withQuery,
} from "../kit.js";
import { shareList } from "../charts/bars.js";

export async function show(screen, { query: { from, to }, signal }) {
  const [found, before, after] = await Promise.all([withQuery("/v1/comparisons", { from, to }), `/v1/indexes/${from}`, `/v1/indexes/${to}`]
    .map((path) => get(path, signal)));
  replace(screen, h("h1", "What changed?"),
    h("p.lead", "From ", side(before), " to ", side(after), ". ", link(withQuery("/compare", { from: to, to: from }), "The other way round")),
    rowChanges(found.rows),
    found.queries && answers(found.queries, from, to),
    found.audits && audits(found.audits),
    found.notes.map((note) => faint(note)));
}

const side = (index) => link(`/indexes/${index.id}`, index.name ?? shortId(index.id));

function rowChanges(rows) {
  const shown = [["removed", "Gone"], ["added", "Come"], ["relabelled", "With another label"]];
  return section("Rows",
    facts(fact("Before", count(rows.before)), fact("After", count(rows.after)), fact("In both", count(rows.kept)),
      shown.map(([name, title]) => fact(title, count(rows[`${name}_count`])))),
    shown.map(([name, title]) => rows[name].length > 0 && h("details", { open: name === "relabelled" },
      h("summary", `${title}: ${count(rows[name].length)} of ${count(rows[`${name}_count`])}`),
      plainList(rows[name].map((row) => [h("strong", labelName(row.label), row.to_label != null && ` → ${labelName(row.to_label)}`), " ", clip(rowText(row.row), 200)])))));
}

const answers = (found, from, to) => section("The same question, asked of both",
  shareList([[`The same rows in the top ${found.k}`, found.overlap, percent(found.overlap)],
    ["Agreement of ranks (Spearman)", found.spearman, short(found.spearman)]]),
  beforeAfter([["Loss of the test points", short(found.loss), short(found.to_loss)]]),
  faint(`${count(found.test_points)} test points, ${count(found.rows)} rows that both have: `,
    link(`/indexes/${from}/trace?query=${found.from_query_id}`, "before"), ", ", link(`/indexes/${to}/trace?query=${found.to_query_id}`, "after")));

function audits({ before, after, top_gone: gone, spearman, same_evaluation: same }) {
  const lines = [["Labels that the model agrees with", "accuracy", percent], ["Mean loss of rows", "mean_loss", short],
    ["Loss of evaluation rows", "evaluation_loss", short], ["Disagreements among the most suspicious", "top_disagreeing", count]];
  return section("Audits",
    beforeAfter(lines.filter(([, name]) => before[name] != null).map(([title, name, say]) => [title, say(before[name]), say(after[name])])),
    faint(`${count(gone)} of the ${count(before.top)} rows that were most suspicious are gone or carry another label.`,
      spearman !== null && ` Suspicion of the other rows agrees by ${short(spearman)} (Spearman).`),
    warnings(before.evaluation_loss != null && !same ? ["The evaluation losses are of different rows."] : []));
}

const beforeAfter = (lines) => table([".What", "Before", "After"], lines.map(([title, before, after]) => [cell(title), number(before), number(after)]), null);

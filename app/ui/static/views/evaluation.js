/** The report of an evaluation: tables, pictures, and what they say. */

import { h, faint, headings, replace } from "../html.js";
import { get, isFinal } from "../api.js";
import { short } from "../format.js";
import { jobError, problemBox } from "../parts/problem.js";
import { watchHere } from "../parts/progress.js";
import { lines } from "../charts/lines.js";

export async function show(screen, { evaluation: id, signal }) {
  let evaluation = await get(`/v1/evaluations/${id}`, signal);
  const body = h("div");
  replace(screen, h("h1", null, evaluation.name ?? `Evaluation: ${evaluation.request.kind}`), body);
  if (!isFinal(evaluation)) {
    await watchHere(body, evaluation.job_id, signal);
    evaluation = await get(`/v1/evaluations/${id}`, signal);
  }
  if (!evaluation.report) return void replace(body, problemBox(jobError(evaluation.error)));
  const { tables, pictures, reading } = evaluation.report;
  replace(body,
    h("section", null, h("h2", null, "What follows, and what does not"), h("ul", null, reading.map((text) => h("li", null, text)))),
    pictures.map(lines),
    tables.map(reportTable),
  );
}

const reportTable = (table) =>
  h("section", null, h("h2", null, table.title),
    h("table", { class: "wide" },
      headings(table.columns),
      h("tbody", null, table.rows.map((row) => h("tr", null, row.map((cell) =>
        h("td", { class: typeof cell === "number" && "number" }, typeof cell === "number" ? short(cell) : cell ?? "–")))))),
    table.note && faint(table.note));

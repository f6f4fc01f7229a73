/** The report of an evaluation. */

import { cell, faint, h, number, plainList, replace, section, short, table, workView } from "../kit.js";
import { lines } from "../charts/lines.js";

export async function show(screen, { evaluation: id, signal }) {
  const [evaluation, body] = await workView(screen, `/v1/evaluations/${id}`, signal,
    ({ name, request }) => h("h1", name ?? `Evaluation: ${request.kind}`));
  if (!evaluation) return;
  const { tables, pictures, reading } = evaluation.report;
  replace(body, section("What follows, and what does not", plainList(reading)), pictures.map(lines), tables.map(reportTable));
}

const reportTable = ({ title, columns, rows, note }) => section(title,
  table(columns, rows.map((row) => row.map((value) => (typeof value === "number" ? number(short(value)) : cell(value ?? "–"))))),
  note && faint(note));

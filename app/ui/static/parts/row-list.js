/** Ranked rows, and the panel of one. */

import { h, aside, cell, fact, faint, number } from "../html.js";
import { clip, labelName, percent, rowText, short, signed } from "../format.js";
import { openDialog } from "./dialog.js";
import { picture } from "./picture.js";
import { scoreBar } from "../charts/bars.js";

/** Rows of a ranking as a list of buttons. */
export function rowList(rows, { most, names, open, dataset }) {
  return h("ol", { class: "rows" }, rows.map((row) =>
    h("li", null, h("button", { class: "row", onclick: () => open(row) },
      scoreBar(row.score, most),
      row.label != null && h("span", { class: "label" }, labelName(row.label, names)),
      picture(row.row, dataset?.id, row.row_index),
      h("span", { class: "text" }, clip(rowText(row.row), 220)),
      aside(`${row.row_id} · percentile ${row.percentile.toFixed(1)}${row.exact ? "" : " · not exact"}`),
    ))));
}

/** The panel of one row: everything that is known of it. */
export function openRow(row, result, { names, index, dataset }) {
  const words = new Set(tokens(rowText(result.example)));
  openDialog(`Row ${row.row_id}`,
    picture(row.row, dataset?.id, row.row_index, 256),
    h("p", { class: "text" }, marked(rowText(row.row), words)),
    h("dl", { class: "facts" },
      row.label != null && fact("Label", labelName(row.label, names)),
      fact("Score", h("span", { class: row.direction }, signed(row.score)), `, ${row.direction}`),
      fact("Percentile", row.percentile.toFixed(2)),
      fact("Computed from", row.exact ? "its true gradient" : "codes, at least in part"),
      row.predicted_change != null && fact("Leaving it out changes the loss by", signed(row.predicted_change)),
      Object.entries(row.metadata ?? {}).map(([name, value]) => fact(name, String(value))),
    ),
    row.blocks && blockTable(row.blocks),
    faint(`${shared(rowText(row.row), words)} words in common with the test point are marked.`),
    dataset && h("a", { class: "button", href: `/ui/indexes/${index.id}/trace?dataset=${dataset.id}&row=${row.row_index}` }, "Ask about this row"),
  );
}

const tokens = (text) => text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? [];
const shared = (text, words) => new Set(tokens(text).filter((word) => words.has(word))).size;

function marked(text, words) {
  return text.split(/([\p{L}\p{N}]+)/u).map((piece) => (words.has(piece.toLowerCase()) ? h("mark", null, piece) : piece));
}

function blockTable(blocks) {
  const total = Object.values(blocks).reduce((sum, value) => sum + Math.abs(value), 0) || 1;
  const rows = Object.entries(blocks).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 12);
  return h("table", null, h("tbody", null, rows.map(([name, value]) =>
    h("tr", null, cell(h("code", null, name)), number(short(-value)), number(percent(Math.abs(value) / total))))));
}

import {
  aside, attempt, button, buttons, clip, count, fact, facts, faint, get, h, labelName, link, list, naming, openDialog,
  replace, rowText, short, signed, tracePath, withQuery,
} from "../kit.js";
import { reviewRows } from "./filters.js";
import { picture } from "./picture.js";
import { tokenParts } from "./tokens.js";
import { scoreBar } from "../charts/bars.js";

export function rowList(rows, { most, names, open, dataset }) {
  return h("ol.rows", rows.map((row) =>
    h("li", h("button.row", { onclick: () => open(row) },
      scoreBar(row.score, most),
      row.label != null && h("span.label", labelName(row.label, names)),
      picture(row.row, dataset?.id, row.row_index),
      h("span.text", clip(rowText(row.row), 220)),
      aside(`${naming(row)} · percentile ${row.percentile.toFixed(1)}${row.exact ? "" : " · not exact"}`, row.influence_level && ` · influence ${row.influence_level}`),
    ))));
}

export function openRow(row, result, { names, index, dataset }) {
  const words = new Set(tokens(rowText(result.example)));
  const [traces, signals] = [aside(), aside("–")];
  attempt(async () => {
    const found = await list(`/v1/queries?index_id=${index.id}&row_index=${row.row_index}`);
    replace(traces, `${count(found.length)} of the latest traces of this index`);
    const audit = (await list(`/v1/audits?index_id=${index.id}`)).find(({ state }) => state === "succeeded");
    if (!audit) return;
    const where = JSON.stringify([{ column: "row_id", op: "eq", value: row.row_id }]);
    const [one] = (await get(withQuery(`/v1/audits/${audit.id}/rows`, { where }))).data;
    replace(signals, ["suspicion", "loss", "self_influence"].map((name) => `${name.replace("_", "-")} ${short(one?.[name])}`).join(" · "));
  });
  openDialog(`Row ${row.row_id}`,
    picture(row.row, dataset?.id, row.row_index, 256),
    row.tokens ? tokenParts(row.tokens) : [h("p.text", marked(rowText(row.row), words)), faint(`${shared(rowText(row.row), words)} words in common with the test point are marked.`)],
    facts(
      row.label != null && fact("Label", labelName(row.label, names)),
      fact("Score", h("span", { class: row.direction }, signed(row.score)), `, ${row.direction}`),
      fact("Percentile", row.percentile.toFixed(2)),
      fact("In the top 10 of", traces),
      fact("In the last audit", signals),
      fact("Computed from", row.exact ? "its true gradient" : "codes, at least in part"),
      row.predicted_change != null && fact("Leaving it out changes the loss by", signed(row.predicted_change)),
      Object.entries(row.metadata ?? {}).map(([name, value]) => fact(name, String(value))),
    ),
    dataset && buttons(link(tracePath(index.id, dataset.id, row.row_index), "Ask about this row", "button"),
      button("Decide about it", () => reviewRows(index.id, "row_id", row.row_id))),
  );
}

const tokens = (text) => text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? [];
const shared = (text, words) => new Set(tokens(text).filter((word) => words.has(word))).size;

function marked(text, words) {
  return text.split(/([\p{L}\p{N}]+)/u).map((piece) => (words.has(piece.toLowerCase()) ? h("mark", piece) : piece));
}

/** One test point on the left, the rows that taught its answer on the right. */

import {
  button, empty, fact, facts, faint, find, get, h, labelName, link, list, note, percent, post, replace, rowText, settle, short,
  signed, warnings,
} from "../kit.js";
import { pointForm } from "../parts/point-form.js";
import { openRow, rowList } from "../parts/row-list.js";
import { picture } from "../parts/picture.js";
import { tokenLosses } from "../parts/tokens.js";
import { histogram } from "../charts/histogram.js";
import { mix } from "../charts/bars.js";

export async function show(screen, { index: id, query: parameters, signal }) {
  const index = await get(`/v1/indexes/${id}`, signal);
  const [checkpoint, dataset, methods, datasets, asked] = await Promise.all([
    find(`/v1/checkpoints/${index.spec.checkpoint_id}`, signal),
    find(`/v1/datasets/${index.spec.dataset_id}`, signal),
    get("/v1/methods", signal), list("/v1/datasets", signal),
    parameters.query ? find(`/v1/queries/${parameters.query}`, signal) : null,
  ]);
  const context = { index, checkpoint, dataset, datasets, names: checkpoint?.label_names ?? dataset?.label_names, signal,
    methods: methods.data.filter((method) => answers(index.spec, method)) };
  const [point, form, answer] = [h("div"), h("div"), h("section.answer", { "aria-label": "Rows" })];
  replace(screen,
    h("h1", "Why this answer?"),
    faint(link(`/indexes/${id}`, index.name ?? dataset?.name ?? "Index"), " · score > 0 is helpful: training on the row lowered the loss of the test point"),
    h("div.columns", h("section.point.card", { "aria-label": "Test point" }, point, form), answer),
  );
  const ask = async (request) => {
    const made = await post(`/v1/indexes/${id}/queries`, request, { Prefer: "wait=2" });
    note({ query: made.id, row: null, dataset: null }, { push: true });
    await showAnswer(made);
  };
  const begin = (request) => replace(form, pointForm(context, request, ask));
  const showAnswer = (made) => fillAnswer(answer, made, { ...context, point, begin });
  const row = parameters.row && { method: "auto", rows: { dataset_id: parameters.dataset, row_indexes: [Number(parameters.row)] } };
  begin(asked?.request ?? (row || {}));
  if (asked) await showAnswer(asked);
  else if (row) await ask(row);
  else replace(answer, empty("Choose a row or type a test point, then ask."));
}

async function fillAnswer(element, made, context) {
  const query = await settle(made, `/v1/queries/${made.id}`, element, context.signal);
  if (!query) return;
  const result = query.results[0];
  showPoint(query, result, context);
  const rows = h("div");
  const refill = (bounds) => fillRows(rows, result, context, bounds);
  const marks = [...result.helpful, ...result.harmful].map((row) => ({ value: row.score, kind: row.direction, text: `${row.row_id}: ${signed(row.score)}` }));
  const beside = h("section.beside");
  replace(element, summary(query, result), histogram(result.histogram, marks, refill),
    faint("Scores of all rows, heights by square root; drag to see only rows in a range."), rows, beside,
    warnings(query.notes), faint("A score orders rows; it is no change of loss unless an evaluation has calibrated it."));
  offerSimilarity(beside, query, result, context);
  refill(null);
  document.documentElement.dataset.answered = query.id;
}

function showPoint({ request }, result, { names, point, begin }) {
  const { rows, against } = request;
  const { example, prediction } = result;
  const part = () => begin({ ...request, rows: undefined, examples: [{ prompt: example.prompt, completion: prediction }], target: { span: [0, [...prediction].length] } });
  replace(point, h("div.asked",
    picture(example, rows?.dataset_id, rows?.row_indexes?.[0], 256),
    h("p.text", rowText(example)),
    facts(
      fact("The model answers", prediction ?? labelName(result.predicted_label, names),
        !prediction && result.predicted_probability != null && ` (${percent(result.predicted_probability)} sure)`),
      example.label != null && fact("Reference", labelName(example.label, names)),
      result.target_text != null && fact("Part asked about", h("mark", result.target_text)),
      against != null && fact("Against", labelName(against, names), ` (loss ${short(result.against_loss)})`),
      fact("Loss", short(result.loss), result.base_loss != null && `, ${short(result.base_loss)} without the adapter`)),
    result.tokens && tokenLosses(result.tokens),
    prediction && typeof example.prompt === "string" && button("Ask about a part of its answer", part)));
}

/** Codes answer the methods of their own metric, whole gradients all. */
const answers = (spec, method) => method.storages.includes(spec.storage) &&
  (method.is_baseline || spec.storage === "full" || method.metric === spec.metric);

const summary = (query, result) => faint(
  `${query.method}${query.damping_scale ? `, damping ${short(query.damping_scale)}` : ""} · ${query.rows_scored} rows`,
  query.milliseconds?.total && ` in ${Math.round(query.milliseconds.total)} ms`,
  result.summary?.positive_share !== undefined && ` · ${percent(result.summary.positive_share)} helpful`,
  query.method_reason && h("span.reason", ` · ${query.method_reason}`));

function fillRows(element, result, context, bounds) {
  const inRange = (row) => !bounds || (row.score >= bounds[0] && row.score <= bounds[1]);
  const ranked = {
    helpful: [...result.helpful, ...result.absolute.filter((row) => row.score >= 0)].filter(inRange),
    harmful: [...result.harmful, ...result.absolute.filter((row) => row.score < 0)].filter(inRange),
  };
  const most = Math.max(...Object.values(ranked).flat().map((row) => Math.abs(row.score)), 0);
  const open = (row) => openRow(row, result, context);
  const side = (kind, title) => {
    const rows = ranked[kind];
    const [column] = Object.keys(rows[0]?.metadata ?? {});
    return h("section", { class: ["side", kind] },
      h("h2", title), rows.length ? rowList(rows, { ...context, most, open }) : empty("No rows here."),
      rows[0]?.label != null && [h("h3", "Labels among them"), mix(rows.map((row) => row.label), (label) => labelName(label, context.names))],
      column && [h("h3", `${column} among them`), mix(rows.map((row) => row.metadata?.[column] ?? "–"))]);
  };
  replace(element, h("div.butterfly", side("helpful", "▲ Most helpful"), side("harmful", "▼ Most harmful")));
}

/** What plain similarity finds as well needs no influence to be found. */
function offerSimilarity(element, query, result, context) {
  const baseline = context.methods.find((method) => method.is_baseline);
  if (!baseline || query.method === baseline.name || !result.helpful.length) return;
  const ask = async () => {
    replace(element, faint("Comparing …"));
    const { examples, rows, target } = query.request;
    const body = { ...(examples ? { examples } : { rows }), target, method: baseline.name, k: result.helpful.length, order: "helpful" };
    const begun = await post(`/v1/indexes/${query.index_id}/queries`, body, { Prefer: "wait=5" });
    const other = await settle(begun, `/v1/queries/${begun.id}`, element, context.signal);
    if (!other) return;
    const similar = other.results[0].helpful;
    const both = similar.filter((row) => result.helpful.some((mine) => mine.row_index === row.row_index));
    const most = Math.max(...similar.map((row) => Math.abs(row.score)));
    replace(element, h("h2", `Most similar (${baseline.title})`),
      faint(`${both.length} of the ${result.helpful.length} most helpful rows are also among the ${similar.length} most similar ones.`),
      rowList(similar, { ...context, most, open: (row) => openRow(row, other.results[0], context) }));
  };
  replace(element, button("Compare with plain similarity", ask));
}

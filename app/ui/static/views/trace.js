/** Trace: one test point on the left, the rows that taught its answer on the right. */

import { h, empty, fact, faint, replace, warnings } from "../html.js";
import { find, get, list, post } from "../api.js";
import { percent, rowText, short, signed, labelName } from "../format.js";
import { note, go } from "../router.js";
import { bindKeys } from "../keys.js";
import { showKeys } from "../parts/key-help.js";
import { attempt, jobError, problemBox } from "../parts/problem.js";
import { watchHere } from "../parts/progress.js";
import { pointForm } from "../parts/point-form.js";
import { openRow, rowList } from "../parts/row-list.js";
import { picture } from "../parts/picture.js";
import { histogram } from "../charts/histogram.js";
import { mix } from "../charts/bars.js";

export async function show(screen, { index: id, query: parameters, signal }) {
  const index = await get(`/v1/indexes/${id}`, signal);
  const [checkpoint, dataset, methods, datasets] = await Promise.all([
    find(`/v1/checkpoints/${index.spec.checkpoint_id}`, signal),
    find(`/v1/datasets/${index.spec.dataset_id}`, signal),
    get("/v1/methods", signal), list("/v1/datasets", signal),
  ]);
  const context = { index, checkpoint, dataset, datasets, names: checkpoint?.label_names ?? dataset?.label_names, signal,
    methods: methods.data.filter((method) => answers(index.spec, method)) };
  const point = h("section", { class: "point card", "aria-label": "Test point" });
  const answer = h("section", { class: "answer", "aria-label": "Rows" });
  replace(screen,
    h("h1", null, "Why this answer?"),
    faint(h("a", { href: `/ui/indexes/${id}` }, index.name ?? dataset?.name ?? "Index"), " · score > 0 is helpful: training on the row lowered the loss of the test point"),
    h("div", { class: "columns" }, point, answer),
  );
  const asked = parameters.query ? await find(`/v1/queries/${parameters.query}`, signal) : null;
  const ask = (request) => attempt(async () => {
    const made = await post(`/v1/indexes/${id}/queries`, request, { Prefer: "wait=2" });
    note({ query: made.id, row: null, dataset: null }, { push: true });
    await showAnswer(made);
  });
  const showAnswer = (made) => fillAnswer(answer, made, context, point, ask);
  const row = parameters.row && { method: "auto", rows: { dataset_id: parameters.dataset, row_indexes: [Number(parameters.row)] } };
  replace(point, await pointForm(context, asked?.request ?? (row || {}), ask));
  if (asked) await showAnswer(asked);
  else if (row) await ask(row);
  else replace(answer, empty("Choose a row or type a test point, then ask."));
}

async function fillAnswer(element, made, context, point, ask) {
  let query = made;
  if (!query.results && !query.error) {
    await watchHere(element, query.job_id, context.signal);
    query = await get(`/v1/queries/${query.id}`, context.signal);
  }
  if (!query.results) return replace(element, problemBox(jobError(query.error)));
  const result = query.results[0];
  showPoint(point, query, result, context);
  const range = { bounds: null };
  const rows = h("div");
  const chart = h("div");
  const refill = () => fillRows(rows, result, context, range.bounds);
  const limits = [...result.helpful, ...result.harmful];
  replace(chart, histogram(result.histogram, {
    marks: limits.map((row) => ({ value: row.score, kind: row.direction, text: `${row.row_id}: ${signed(row.score)}` })),
    onrange: (bounds) => { range.bounds = bounds; refill(); },
  }));
  const beside = h("section", { class: "beside" });
  replace(element, summary(query, result), chart,
    faint("Scores of all rows, heights by square root; drag to see only rows in a range."), rows, beside, foot(query));
  showSimilarity(beside, query, result, context);
  refill();
  bindKeys({ help: showKeys });
  document.documentElement.dataset.answered = query.id;
}

function showPoint(point, query, result, { names }) {
  const { rows } = query.request;
  const shown = h("div", { class: "asked" },
    picture(result.example, rows?.dataset_id, rows?.row_indexes?.[0], 256),
    h("p", { class: "text" }, rowText(result.example)),
    h("dl", { class: "facts" },
      h("div", null, h("dt", null, "The model answers"), h("dd", null,
        result.prediction ?? labelName(result.predicted_label, names),
        result.predicted_probability != null && ` (${percent(result.predicted_probability)} sure)`)),
      result.example.label != null && fact("Reference", labelName(result.example.label, names)),
      fact("Loss", short(result.loss)),
    ),
  );
  point.querySelector(".asked")?.remove();
  point.prepend(shown);
}

/** Codes answer the methods of their own metric, whole gradients all. */
const answers = (spec, method) => method.storages.includes(spec.storage) &&
  (method.is_baseline || spec.storage === "full" || method.metric === spec.metric);

const summary = (query, result) =>
  h("p", { class: "faint" },
    `${query.method}${query.damping_scale ? `, damping ${short(query.damping_scale)}` : ""} · ${query.rows_scored} rows`,
    query.milliseconds?.total && ` in ${Math.round(query.milliseconds.total)} ms`,
    result.summary?.positive_share !== undefined && ` · ${percent(result.summary.positive_share)} helpful`,
    query.method_reason && h("span", { class: "reason" }, ` · ${query.method_reason}`));

function fillRows(element, result, context, bounds) {
  const inRange = (row) => !bounds || (row.score >= bounds[0] && row.score <= bounds[1]);
  const helpful = [...result.helpful, ...result.absolute.filter((row) => row.score >= 0)].filter(inRange);
  const harmful = [...result.harmful, ...result.absolute.filter((row) => row.score < 0)].filter(inRange);
  const most = Math.max(...[...helpful, ...harmful].map((row) => Math.abs(row.score)), 0);
  const open = (row) => openRow(row, result, context);
  const side = (kind, title, rows) => h("section", { class: ["side", kind] },
    h("h2", null, title), rows.length ? rowList(rows, { ...context, most, open }) : empty("No rows here."),
    rows.length > 0 && rows[0].label !== null && [h("h3", null, "Labels among them"), mix(rows.map((row) => row.label), (label) => labelName(label, context.names))]);
  replace(element, h("div", { class: "butterfly" },
    side("helpful", "▲ Most helpful", helpful), side("harmful", "▼ Most harmful", harmful)));
}

/** Plain similarity beside influence: what it finds as well needs no influence to be found. */
function showSimilarity(element, query, result, context) {
  const baseline = context.methods.find((method) => method.is_baseline);
  if (!baseline || query.method === baseline.name || !result.helpful.length) return;
  const ask = () => attempt(async () => {
    replace(element, faint("Comparing …"));
    const { examples, rows, target } = query.request;
    const body = { ...(examples ? { examples } : { rows }), target, method: baseline.name, k: result.helpful.length, order: "helpful" };
    let other = await post(`/v1/indexes/${query.index_id}/queries`, body, { Prefer: "wait=5" });
    if (!other.results) {
      await watchHere(element, other.job_id, context.signal);
      other = await get(`/v1/queries/${other.id}`, context.signal);
    }
    if (!other.results) return void replace(element, problemBox(jobError(other.error)));
    const similar = other.results[0].helpful;
    const both = similar.filter((row) => result.helpful.some((mine) => mine.row_index === row.row_index));
    const most = Math.max(...similar.map((row) => Math.abs(row.score)));
    replace(element, h("h2", null, `Most similar (${baseline.title})`),
      faint(`${both.length} of the ${result.helpful.length} most helpful rows are also among the ${similar.length} most similar ones.`),
      rowList(similar, { ...context, most, open: (row) => openRow(row, other.results[0], context) }));
  });
  replace(element, h("button", { onclick: ask }, "Compare with plain similarity"));
}

const foot = (query) =>
  h("div", null,
    warnings(query.notes),
    faint("A score orders rows; it is no change of loss unless an evaluation has calibrated it."));

/** One index: what it is, how well it ranks, and everything that can be done with it. */

import { h, aside, buttons, empty, fact, replace, warnings } from "../html.js";
import { find, get, isFinal, list, post, remove } from "../api.js";
import { ago, bytes, clip, count, duration, percent, rowText, short, shortId } from "../format.js";
import { go } from "../router.js";
import { jobError, problemBox, attempt } from "../parts/problem.js";
import { watchHere } from "../parts/progress.js";
import { confirmThen } from "../parts/dialog.js";
import { shareBar } from "../charts/bars.js";

export async function show(screen, { index: id, signal }) {
  let index = await get(`/v1/indexes/${id}`, signal);
  const [checkpoint, dataset] = await Promise.all([
    find(`/v1/checkpoints/${index.spec.checkpoint_id}`, signal),
    find(`/v1/datasets/${index.spec.dataset_id}`, signal),
  ]);
  const state = h("div");
  const facts = h("div");
  const work = h("div");
  replace(screen, h("h1", null, index.name ?? dataset?.name ?? `Index ${shortId(id)}`), actions(index), state, facts, work);
  if (!isFinal(index)) {
    await Promise.all([fillFacts(facts, index, checkpoint, dataset), watchHere(state, index.job_id, signal)]);
    index = await get(`/v1/indexes/${id}`, signal);
    return show(screen, { index: id, signal });
  }
  if (index.state !== "succeeded") replace(state, problemBox(jobError(index.error)));
  fillFacts(facts, index, checkpoint, dataset);
  await fillWork(work, index, dataset, signal);
}

function actions(index) {
  const erase = () => confirmThen("Delete this index?", "Its gradients, queries and audits go with it. Checkpoint and rows stay.", "Delete", () =>
    attempt(async () => { await remove(`/v1/indexes/${index.id}`); go("/"); }));
  return buttons(
    index.state === "succeeded" && h("a", { class: "button primary", href: `/ui/indexes/${index.id}/trace` }, "Ask about an answer"),
    index.state === "succeeded" && h("button", { onclick: () => startAudit(index) }, "Find wrong labels"),
    h("button", { class: "danger quiet", onclick: erase }, "Delete"),
  );
}

const startAudit = (index) => attempt(async () => {
  const audit = await post(`/v1/indexes/${index.id}/audits`, {});
  go(`/audits/${audit.id}`);
});

function fillFacts(element, index, checkpoint, dataset) {
  return replace(element,
    h("dl", { class: "facts" },
      fact("Base model", checkpoint ? clip(checkpoint.base_model.name, 60) : "–"),
      fact("Adapter", checkpoint?.adapter ? `LoRA, rank ${checkpoint.adapter.r ?? "–"}` : "parts of the model itself"),
      fact("Rows", count(index.rows_indexed ?? index.rows), dataset ? `, ${dataset.kind}` : ""),
      fact("Blocks", count(index.blocks.length), index.parameters ? `, ${count(index.parameters)} parameters` : ""),
      fact("Storage", index.spec.storage, index.spec.rank ? `, rank ${index.spec.rank}` : ""),
      fact("Size", bytes(index.bytes), index.bytes_per_row ? `, ${bytes(index.bytes_per_row)} per row` : ""),
      fact("Damping", index.damping ? `${short(Math.min(...Object.values(index.damping)))} to ${short(Math.max(...Object.values(index.damping)))} per block` : "–"),
      fact("Built", index.ready_at ? `${ago(index.ready_at)}, in ${duration(index.timings?.total_seconds ?? (new Date(index.ready_at) - new Date(index.created_at)) / 1000)}` : "–"),
    ),
    warnings(index.warnings),
    index.truncated_rows > 0 && h("p", { class: "warning" }, `${count(index.truncated_rows)} rows were longer than ${count(index.spec.gradients.max_length)} tokens and were cut.`),
    fidelity(index),
  );
}

function fidelity(index) {
  if (!index.fidelity) return null;
  const { reranked, ...found } = index.fidelity; // errors, which are no shares
  const figures = Object.entries(flatten(found)).filter(([, value]) => typeof value === "number" && value >= 0 && value <= 1);
  if (!figures.length) return null;
  return h("section", null, h("h2", null, "How well codes rank, measured on rows the basis never saw"),
    h("ul", { class: "mix" }, figures.map(([name, value]) =>
      h("li", null, h("span", { class: "mix-name" }, name.replaceAll("_", " ")), shareBar(value, value.toFixed(3))))));
}

function flatten(value, prefix = "") {
  if (typeof value !== "object" || value === null) return { [prefix]: value };
  return Object.assign({}, ...Object.entries(value).map(([name, inner]) => flatten(inner, prefix ? `${prefix} · ${name}` : name)));
}

async function fillWork(element, index, dataset, signal) {
  const [audits, evaluations, reviews] = await Promise.all([
    list("/v1/audits", signal), list("/v1/evaluations", signal), list("/v1/reviews", signal),
  ]);
  const decided = reviews.filter((review) => review.dataset_id === index.spec.dataset_id);
  const mine = audits.filter((audit) => audit.index_id === index.id);
  const judged = evaluations.filter((evaluation) => evaluation.request.index_id === index.id);
  replace(element,
    h("section", null, h("h2", null, "Audits"), mine.length
      ? h("ul", { class: "plain" }, mine.map((audit) => h("li", null,
          h("a", { href: `/ui/audits/${audit.id}` }, audit.name ?? `Audit by ${audit.signals.map((signal) => signal.name).join(", ")}`),
          aside(` ${audit.state}, ${ago(audit.created_at)}`,
            audit.accuracy != null ? `, the model agrees with ${percent(audit.accuracy, 1)} of labels` : ""))))
      : empty("None yet. “Find wrong labels” ranks every row by how odd its label looks.")),
    decided.length > 0 && h("section", null, h("h2", null, "Reviews"), h("ul", { class: "plain" }, decided.map((review) => h("li", null,
      h("a", { href: `/ui/reviews/${review.id}` }, review.name ?? "Review"), aside(` ${count(review.progress.decided)} of ${count(review.progress.rows)} decided, ${ago(review.created_at)}`))))),
    judged.length > 0 && h("section", null, h("h2", null, "Evaluations"), h("ul", { class: "plain" }, judged.map((evaluation) =>
      h("li", null, h("a", { href: `/ui/evaluations/${evaluation.id}` }, evaluation.request.kind), aside(` ${evaluation.state}, ${ago(evaluation.created_at)}`))))),
    dataset && index.state === "succeeded" && (await groupSection(index, dataset, signal)),
    dataset && sampleRows(index, dataset, signal),
  );
}

async function groupSection(index, dataset, signal) {
  const { groupsForm } = await import("./groups.js");
  return h("section", null, h("h2", null, "Groups"), await groupsForm(index, dataset, signal));
}

function sampleRows(index, dataset, signal) {
  const section = h("section", null, h("h2", null, "Rows"));
  attempt(async () => {
    const page = await get(`/v1/datasets/${dataset.id}/rows?offset=0&length=5`, signal);
    section.append(h("ul", { class: "plain" }, page.data.map((row) => h("li", null,
      h("a", { href: `/ui/indexes/${index.id}/trace?dataset=${dataset.id}&row=${row.row_index}` }, clip(rowText(row.row), 140))))));
  });
  return section;
}

/** What an index is, and what can be done with it. */

import {
  ago, aside, button, buttons, bytes, choice, clip, confirmThen, count, datasetChoice, download, duration, empty, fact, facts,
  field, find, form, get, go, h, isFinal, link, list, percent, plainList, post, remove, replace, rowText, section, settle, short, shortId, tracePath,
  warnings,
} from "../kit.js";
import { shareList } from "../charts/bars.js";
import { evaluationForm } from "../parts/evaluation-form.js";
import { groupsForm } from "../parts/groups-form.js";
import { rebuild } from "../parts/filters.js";

export async function show(screen, { index: id, signal }) {
  const path = `/v1/indexes/${id}`;
  const index = await get(path, signal);
  const [checkpoint, dataset] = await Promise.all([
    find(`/v1/checkpoints/${index.spec.checkpoint_id}`, signal),
    find(`/v1/datasets/${index.spec.dataset_id}`, signal),
  ]);
  const [state, work] = [h("div"), h("div")];
  replace(screen, h("h1", index.name ?? dataset?.name ?? `Index ${shortId(id)}`), actions(index), state, description(index, checkpoint, dataset), work);
  const made = await settle(index, path, state, signal);
  if (made && !isFinal(index)) return show(screen, { index: id, signal });
  await fillWork(work, index, dataset, signal);
}

function actions({ id, state, spec }) {
  const audit = async () => go(`/audits/${(await post(`/v1/indexes/${id}/audits`, {})).id}`);
  const erase = async () => { await remove(`/v1/indexes/${id}`); go("/"); };
  const confirm = () => confirmThen("Delete this index?", "Its gradients, queries and audits go with it. Checkpoint and rows stay.", "Delete", erase);
  return buttons(
    state === "succeeded" && [link(`/indexes/${id}/trace`, "Ask about an answer", "button primary"), button("Find wrong labels", audit)],
    button("Download its rows", () => download(`/v1/datasets/${spec.dataset_id}/export`, "rows.jsonl")),
    button("Delete", confirm, "danger quiet"));
}

function description(index, checkpoint, dataset) {
  const damping = Object.values(index.damping ?? {});
  return h("div",
    facts(
      fact("Base model", checkpoint ? clip(checkpoint.base_model.name, 60) : "–"),
      fact("Adapter", checkpoint?.adapter ? `LoRA, rank ${checkpoint.adapter.r ?? "–"}` : "parts of the model itself"),
      fact("Rows", count(index.rows_indexed ?? index.rows), dataset ? `, ${dataset.kind}` : ""),
      fact("Blocks", count(index.blocks.length), index.parameters ? `, ${count(index.parameters)} parameters` : ""),
      fact("Storage", index.spec.storage, index.spec.rank ? `, rank ${index.spec.rank}` : ""),
      fact("Size", bytes(index.bytes), index.bytes_per_row ? `, ${bytes(index.bytes_per_row)} per row` : ""),
      fact("Damping", damping.length ? `${short(Math.min(...damping))} to ${short(Math.max(...damping))} per block` : "–"),
      fact("Built", index.ready_at ? `${ago(index.ready_at)}, in ${duration(index.timings?.total_seconds ?? (new Date(index.ready_at) - new Date(index.created_at)) / 1000)}` : "–"),
    ),
    warnings(index.warnings),
    index.truncated_rows > 0 && h("p.warning", `${count(index.truncated_rows)} rows were longer than ${count(index.spec.gradients.max_length)} tokens and were cut.`),
    fidelity(index));
}

function fidelity(index) {
  const found = Object.entries(flatten({ ...index.fidelity, reranked: null })); // which are errors, no shares
  const shares = found.filter(([, value]) => typeof value === "number" && value >= 0 && value <= 1);
  return shares.length > 0 && section("How well codes rank, measured on rows the basis never saw",
    shareList(shares.map(([name, value]) => [name.replaceAll("_", " "), value, value.toFixed(3)])));
}

function flatten(value, prefix = "") {
  if (typeof value !== "object" || value === null) return { [prefix]: value };
  return Object.assign({}, ...Object.entries(value).map(([name, inner]) => flatten(inner, prefix ? `${prefix} · ${name}` : name)));
}

const items = (kind, found, name, said) => plainList(found.map((item) => [
  link(`/${kind}/${item.id}`, item.name ?? name(item)), aside(` ${said(item)}, ${ago(item.created_at)}`)]));
const agreement = ({ accuracy }) => (accuracy != null ? `, the model agrees with ${percent(accuracy, 1)} of labels` : "");

const some = (title, found, shown) => found.length > 0 && section(title, shown);

async function fillWork(element, index, dataset, signal) {
  const [audits, queries, evaluations, reviews, datasets, indexes] = await Promise.all([
    ...["audits", "queries", "evaluations"].map((kind) => list(`/v1/${kind}?index_id=${index.id}`, signal)),
    list(`/v1/reviews?dataset_id=${index.spec.dataset_id}`, signal), list("/v1/datasets", signal), list("/v1/indexes?state=succeeded", signal),
  ]);
  replace(element,
    section("Audits", audits.length
      ? items("audits", audits, (audit) => `Audit by ${audit.signals.map((one) => one.name).join(", ")}`, (audit) => audit.state + agreement(audit))
      : empty("None yet. “Find wrong labels” ranks rows by how odd their labels look.")),
    some("Traces", queries, plainList(queries.slice(0, 9).map(({ id, request, method, created_at: at }) => [
      link(`/indexes/${index.id}/trace?query=${id}`, request.examples ? clip(rowText(request.examples[0]), 80) : "Rows"), aside(` ${method}, ${ago(at)}`)]))),
    some("Reviews", reviews, items("reviews", reviews, () => "Review", ({ progress }) => `${count(progress.decided)} of ${count(progress.rows)} decided`)),
    some("Evaluations", evaluations, items("evaluations", evaluations, (item) => item.request.kind, (item) => item.state)),
    dataset && index.state === "succeeded" && forms(index, dataset, datasets.filter((item) => item.kind === dataset.kind), indexes),
    dataset && section("Rows", await sampleRows(index, dataset, signal)));
}

const root = (set) => set.derived_from?.dataset_id ?? set.id;

function forms(index, dataset, datasets, indexes) {
  const named = new Map(datasets.map((item) => [item.id, item.name ?? item.kind]));
  const others = indexes.filter((item) => item.id !== index.id && named.has(item.spec.dataset_id));
  const other = choice(others.map((item) => [item.id, `${item.name ?? named.get(item.spec.dataset_id)}, ${count(item.rows)} rows, ${ago(item.created_at)}`]));
  const rows = datasetChoice(datasets.filter((item) => item.id !== dataset.id));
  const apart = (set) => root(set) !== root(dataset) && Object.keys(set.statistics.labels ?? {}).every((name) => dataset.statistics.labels?.[name]);
  const tests = datasets.toSorted((one, two) => apart(two) - apart(one));
  return [
    section("Groups", groupsForm(index, dataset, tests)),
    index.spec.storage === "compact" && rows.length > 0 && section("More rows", form([field("Those of", rows)], "Grow the index", () => rebuild(index, rows.value), "inline")),
    others.length > 0 && section("What changed", form([field("From", other)], "See what changed", () => go("/compare", { from: other.value, to: index.id }), "inline")),
    section("Are its scores true?", evaluationForm(index, dataset, tests))];
}

async function sampleRows(index, dataset, signal) {
  const page = await find(`/v1/datasets/${dataset.id}/rows?offset=0&length=5`, signal);
  return plainList((page?.data ?? []).map((row) => link(tracePath(index.id, dataset.id, row.row_index), clip(rowText(row.row), 140))));
}

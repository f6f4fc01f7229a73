/** A review: one row at a time, decided by a key, saved at once, and undone as easily. */

import { h, aside, buttons, choice, empty, fact, faint, replace } from "../html.js";
import { download, find, get, patch, post } from "../api.js";
import { count, labelName, percent, rowText, short } from "../format.js";
import { note, go } from "../router.js";
import { bindKeys, keyOf } from "../keys.js";
import { showKeys } from "../parts/key-help.js";
import { attempt, notify } from "../parts/problem.js";
import { openBulk } from "../parts/bulk-form.js";
import { picture } from "../parts/picture.js";
import { shareBar } from "../charts/bars.js";

const LENGTH = 50;

export async function show(screen, { review: id, query: parameters, signal }) {
  const review = await get(`/v1/reviews/${id}`, signal);
  const [dataset, audit] = await Promise.all([
    get(`/v1/datasets/${review.dataset_id}`, signal),
    review.audit_id ? find(`/v1/audits/${review.audit_id}`, signal) : null,
  ]);
  const index = audit && (await find(`/v1/indexes/${audit.index_id}`, signal));
  const view = {
    review, dataset, audit, index, signal, parameters: { ...parameters },
    names: dataset.label_names ?? audit?.label_names ?? Object.keys(dataset.statistics.labels ?? {}),
    queue: [], at: Number(parameters.at ?? 0), rows: 0, decisions: new Map(), saving: Promise.resolve(),
  };
  const parts = { head: h("div"), card: h("section", { class: "card review-card", "aria-live": "polite" }), list: h("ol", { class: "queue" }) };
  view.parts = parts;
  replace(screen, h("h1", null, review.name ?? "Review"), parts.head,
    h("div", { class: "columns review" }, h("section", { "aria-label": "Queue" }, filters(view), parts.list), parts.card));
  await load(view);
  bindKeys(bindings(view));
}

function bindings(view) {
  const decide = (action, label) => decideHere(view, action, label);
  const keys = {
    keep: () => decide("keep"), accept: () => acceptSuggestion(view), remove: () => decide("remove"),
    later: () => decide("later"), undo: () => undoLast(view), next: () => step(view, 1), previous: () => step(view, -1),
    search: () => document.querySelector(".filters select")?.focus(), help: showKeys,
  };
  view.names.slice(0, 9).forEach((name, i) => { keys[String(i + 1)] = () => decide("relabel", name); });
  return keys;
}

function filters(view) {
  const change = (changes) => attempt(async () => {
    Object.assign(view.parameters, changes, { at: 0 });
    view.at = 0;
    note(view.parameters);
    await load(view);
  });
  if (!view.audit) return faint("Rows in their order. A review that is begun from an audit shows the most suspicious first.");
  const labels = (view.audit.classes ?? []).map((item) => [item.label, labelName(item.label, view.names)]);
  const select = (label, name, options) => h("label", null, label, " ", choice(options, view.parameters[name], (value) => change({ [name]: value })));
  return h("div", { class: "filters" },
    select("Sorted by", "sort", ["suspicion", "loss", "self_influence", "row_index"].map((name) => [name, name.replaceAll("_", " ")])),
    labels.length > 0 && select("Label", "label", [["", "all"], ...labels]),
    h("label", null, h("input", { type: "checkbox", checked: view.parameters.disagree === "true", onchange: (event) => change({ disagree: event.target.checked ? "true" : "" }) }), " only disagreements"));
}

/** Fetch the page of the queue that holds the present position, with its decisions. */
async function load(view) {
  const start = Math.floor(view.at / LENGTH) * LENGTH;
  const page = view.audit ? await auditPage(view, start) : await get(`/v1/datasets/${view.review.dataset_id}/rows?offset=${start}&length=${LENGTH}`, view.signal);
  view.start = start;
  view.queue = page.data;
  view.rows = page.rows;
  await refreshDecisions(view);
  paint(view);
}

function auditPage(view, start) {
  const { sort, label, disagree } = view.parameters;
  const given = Object.entries({ sort, label, disagree, offset: start, length: LENGTH }).filter(([, value]) => value !== "" && value !== undefined);
  return get(`/v1/audits/${view.audit.id}/rows?${new URLSearchParams(given)}`, view.signal);
}

async function refreshDecisions(view) {
  view.review = await get(pathOf(view), view.signal);
  view.known = view.review.version;
  if (!view.queue.length) return;
  const query = new URLSearchParams(view.queue.map((row) => ["row_index", row.row_index]));
  const page = await get(pathOf(view, `/decisions?${query}`), view.signal);
  for (const row of view.queue) view.decisions.delete(row.row_index);
  view.known = page.version;
  for (const decision of page.data) view.decisions.set(decision.row_index, decision);
}

const pathOf = (view, rest = "") => `/v1/reviews/${view.review.id}${rest}`;
const exporter = (view, format, file, text) =>
  h("button", { onclick: () => attempt(() => download(pathOf(view, `/export?format=${format}&mode=annotated`), file)) }, text);
const currentRow = (view) => view.queue[view.at - view.start];

/** Decide about the row that is shown. The next card is there at once; saving goes on behind it. */
function decideHere(view, action, label = null) {
  const row = currentRow(view);
  if (!row) return;
  const isChange = action === "relabel" && label !== null && labelName(row.label ?? row.row?.label, view.names) === label;
  const decision = isChange ? { row_index: row.row_index, action: "keep" } : { row_index: row.row_index, action, ...(label === null ? {} : { label }) };
  const before = view.decisions.get(row.row_index);
  view.decisions.set(row.row_index, { ...decision, saving: true });
  step(view, 1);
  view.saving = view.saving.then(() => attempt(() => save(view, decision, before)));
}

async function save(view, decision, before) {
  try {
    const answer = await patch(pathOf(view, "/decisions"), { decisions: [decision], by: reviewer() }, { "If-Match": `"${view.known}"` });
    if (answer.conflicts.length) {
      const [conflict] = answer.conflicts;
      setDecision(view, decision.row_index, conflict.current);
      notify(`Row ${decision.row_index} was decided by ${conflict.current?.by ?? "someone"} meanwhile: their word stands. Decide again to change it.`);
    } else {
      setDecision(view, decision.row_index, decision.action === null ? null : { ...decision, by: reviewer() });
    }
    // Only our own change since the last look: nothing on the screen is older than what the service has.
    if (answer.version === view.known + 1) view.known = answer.version;
    else await refreshDecisions(view);
    view.review = await get(pathOf(view), view.signal);
  } catch (error) {
    setDecision(view, decision.row_index, before);
    paint(view);
    throw error;
  }
  paintHead(view);
  paintList(view);
}

const setDecision = (view, row, decision) => (decision ? view.decisions.set(row, decision) : view.decisions.delete(row));
const reviewer = () => localStorage.getItem("datainf-reviewer") || undefined;

function acceptSuggestion(view) {
  const row = currentRow(view);
  if (!row || row.predicted_label == null) return notify("The model suggests no label for this row.");
  decideHere(view, "relabel", labelName(row.predicted_label, view.names));
}

function undoLast(view) {
  view.saving = view.saving.then(() => attempt(async () => {
    await post(pathOf(view, "/undo"), { by: reviewer() });
    await refreshDecisions(view);
    paint(view);
    notify("Taken back.");
  }));
}

function step(view, by) {
  const at = view.at + by;
  if (at < 0 || at >= view.rows) return paint(view);
  view.at = at;
  note({ ...view.parameters, at });
  if (at < view.start || at >= view.start + view.queue.length) return attempt(() => load(view));
  paint(view);
}

function paint(view) {
  paintHead(view);
  paintList(view);
  paintCard(view);
}

function paintHead(view) {
  const { progress } = view.review;
  replace(view.parts.head,
    h("div", { class: "review-head" },
      shareBar(progress.rows ? progress.decided / progress.rows : 0, `${count(progress.decided)} of ${count(progress.rows)} decided`),
      aside(["keep", "relabel", "remove", "later"].map((name) => `${name} ${count(progress[name])}`).join(" · ")),
      progress.hit_rate !== null && aside(`of the last 20, ${percent(progress.hit_rate)} were wrong`),
    ),
    buttons(
      h("button", { onclick: () => openBulk(view, () => load(view)) }, "Decide about many"),
      h("button", { onclick: () => undoLast(view) }, "Undo ", h("kbd", null, keyOf("undo"))),
      !view.dataset.statistics.images && exporter(view, "label-studio", "label-studio.json", "To Label Studio"),
      exporter(view, "csv", "review.csv", "Download CSV"),
      h("button", { class: "primary", onclick: () => applyReview(view) }, "Make the cleaned data set"),
    ));
}

const applyReview = (view) => attempt(async () => {
  await view.saving;
  const made = await post(pathOf(view, "/apply"));
  notify(`${count(made.rows_out)} of ${count(made.rows_in)} rows, ${count(made.relabelled)} with a new label.`);
  go(`/datasets/${made.dataset_id}`, { index: view.index?.id });
});

function paintList(view) {
  replace(view.parts.list, view.queue.map((row, i) => {
    const decision = view.decisions.get(row.row_index);
    const at = view.start + i;
    return h("li", null, h("button", { class: ["queued-row", at === view.at && "current"], "aria-current": at === view.at ? "true" : null, onclick: () => { view.at = at; note({ ...view.parameters, at }); paint(view); } },
      h("span", { class: ["mark-of", decision?.action] }, MARKS[decision?.action] ?? "·"), " ", h("span", { class: "clip" }, rowText(row.row).slice(0, 120))));
  }));
}

const MARKS = { keep: "✓", relabel: "✎", remove: "✗", later: "…" };

function paintCard(view) {
  const row = currentRow(view);
  if (!row) return void replace(view.parts.card, empty("No rows here. Change the filters, or make the cleaned data set."));
  const label = row.label ?? row.row.label;
  const decision = view.decisions.get(row.row_index);
  const hasPrediction = row.predicted_label != null;
  replace(view.parts.card,
    faint(`${count(view.at + 1)} of ${count(view.rows)} · ${row.row_id}`, decision && h("strong", null, ` · decided: ${decision.action}${decision.label != null ? ` → ${labelName(decision.label, view.names)}` : ""}`)),
    picture(row.row, view.dataset.id, row.row_index, 256),
    h("p", { class: "text big" }, rowText(row.row)),
    h("dl", { class: "facts" },
      label != null && fact("Label", labelName(label, view.names)),
      hasPrediction && h("div", null, h("dt", null, "Model answers"), h("dd", { class: row.predicted_label !== label && "harmful" }, labelName(row.predicted_label, view.names), row.predicted_probability !== null && ` (${percent(row.predicted_probability)})`)),
    ),
    signals(row),
    h("div", { class: "buttons decide" },
      button(view, "keep", "Keep"), hasPrediction && row.predicted_label !== label && h("button", { onclick: () => acceptSuggestion(view) }, h("kbd", null, keyOf("accept")), ` Relabel: ${labelName(row.predicted_label, view.names)}`),
      button(view, "remove", "Remove"), button(view, "later", "Later")),
    ["classification", "image_classification"].includes(view.dataset.kind) && buttons(view.names.slice(0, 9).map((name, i) =>
      h("button", { onclick: () => decideHere(view, "relabel", name) }, h("kbd", null, String(i + 1)), ` ${name}`))),
    view.index && h("a", { href: `/ui/indexes/${view.index.id}/trace?dataset=${view.dataset.id}&row=${row.row_index}` }, "Which rows speak for and against it?"),
  );
}

const button = (view, action, text) => h("button", { onclick: () => decideHere(view, action) }, h("kbd", null, keyOf(action)), ` ${text}`);

function signals(row) {
  const shown = [["suspicion", row.suspicion], ["probability of its label", row.probability]].filter(([, value]) => value != null);
  const figures = [["loss", row.loss], ["self-influence", row.self_influence], ["margin", row.margin], ["score", row.score]].filter(([, value]) => value != null);
  return h("div", null,
    shown.length > 0 && h("ul", { class: "mix" }, shown.map(([name, value]) => h("li", null, h("span", { class: "mix-name" }, name), shareBar(value, short(value), name === "suspicion" ? "harmful" : "plain")))),
    figures.length > 0 && faint(figures.map(([name, value]) => `${name} ${short(value)}`).join(" · ")));
}

/** One row at a time, decided by a key, saved at once, undone as easily. */

import {
  aside, attempt, bindKeys, button, buttons, count, download, empty, fact, facts, faint, find, get, go, h, keyOf, labelName,
  link, naming, note, notify, patch, percent, post, replace, rowText, short, tracePath,
} from "../kit.js";
import { openBulk } from "../parts/bulk-form.js";
import { auditFilters, rowsOf } from "../parts/filters.js";
import { picture } from "../parts/picture.js";
import { shareBar, shareList } from "../charts/bars.js";

const LENGTH = 50;

export async function show(screen, { review: id, query: parameters, signal }) {
  const view = {
    review: { id }, signal, parameters: { ...parameters },
    queue: [], at: Number(parameters.at ?? 0), rows: 0, decisions: new Map(), saving: Promise.resolve(),
    parts: { head: h("div"), card: h("section.card.review-card", { "aria-live": "polite" }), list: h("ol.queue") },
  };
  const queued = readQueue(view).catch((error) => error);
  const review = await get(pathOf(view), signal);
  const [dataset, audit, refused] = await Promise.all([
    get(`/v1/datasets/${review.dataset_id}`, signal), review.audit_id && find(`/v1/audits/${review.audit_id}`, signal), queued]);
  if (refused) throw refused;
  const names = dataset.label_names ?? audit?.label_names ?? Object.keys(dataset.statistics.labels ?? {});
  Object.assign(view, { review, dataset, audit, names });
  const { parts } = view;
  replace(screen, h("h1", review.name ?? "Review"), parts.head,
    h("div.columns.review", h("section", { "aria-label": "Queue" },
      audit ? auditFilters(view, (changes) => change(view, changes)) : faint("Rows in their order. A review that is begun from an audit shows the most suspicious first."),
      parts.list), parts.card));
  paint(view);
  bindKeys(bindings(view));
}

function bindings(view) {
  const decide = (action, label) => decideHere(view, action, label);
  const keys = {
    keep: () => decide("keep"), accept: () => acceptSuggestion(view), remove: () => decide("remove"),
    later: () => decide("later"), undo: () => undoLast(view), next: () => step(view, 1), previous: () => step(view, -1),
    search: () => document.querySelector("[type=search]")?.focus(),
  };
  view.names.slice(0, 9).forEach((name, i) => { keys[String(i + 1)] = () => decide("relabel", name); });
  return keys;
}

const change = (view, changes) => attempt(async () => {
  Object.assign(view.parameters, changes);
  moveTo(view, 0);
  await load(view);
});

async function load(view) {
  await readQueue(view);
  paint(view);
}

async function readQueue(view) {
  const start = Math.floor(view.at / LENGTH) * LENGTH;
  const page = await rowsOf(pathOf(view), view, start, LENGTH);
  Object.assign(view, { start, queue: page.data.map((row) => ({ ...row.figures, ...row })), rows: page.rows, known: page.version });
  for (const { row_index: row, decision } of view.queue) setDecision(view, row, decision);
}

async function refresh(view) {
  [view.review] = await Promise.all([get(pathOf(view), view.signal), readQueue(view)]);
}

const pathOf = (view, rest = "") => `/v1/reviews/${view.review.id}${rest}`;
const exporter = (view, format, file, text) =>
  button(text, () => download(pathOf(view, `/export?format=${format}&mode=annotated`), file));
const currentRow = (view) => view.queue[view.at - view.start];

/** Decide about the row that is shown. The next card is there at once; saving goes on behind it. */
function decideHere(view, action, label = null) {
  const row = currentRow(view);
  if (!row) return;
  const isSame = action === "relabel" && label !== null && labelName(row.label ?? row.row?.label, view.names) === label;
  const decision = { row_index: row.row_index, ...(isSame ? { action: "keep" } : { action, label: label ?? undefined }) };
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
    else await readQueue(view);
    view.review = await get(pathOf(view), view.signal);
  } catch (error) {
    setDecision(view, decision.row_index, before);
    paint(view);
    throw error;
  }
  paintHead(view);
  paintList(view);
}

const setDecision = ({ decisions }, row, decision) => (decision ? decisions.set(row, decision) : decisions.delete(row));
const reviewer = () => localStorage.getItem("datainf-reviewer") || undefined;

function acceptSuggestion(view) {
  const row = currentRow(view);
  if (!row || row.predicted_label == null) return notify("The model suggests no label for this row.");
  decideHere(view, "relabel", labelName(row.predicted_label, view.names));
}

function undoLast(view) {
  view.saving = view.saving.then(() => attempt(async () => {
    await post(pathOf(view, "/undo"), { by: reviewer() });
    await refresh(view);
    paint(view);
    notify("Taken back.");
  }));
}

function moveTo(view, at) {
  view.at = at;
  note({ ...view.parameters, at });
}

function step(view, by) {
  const at = view.at + by;
  if (at < 0 || at >= view.rows) return paint(view);
  moveTo(view, at);
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
      progress.hit_rate !== null && aside(`of the last 20, ${percent(progress.hit_rate)} were wrong`)),
    buttons(
      button("Decide about many", () => openBulk(view, () => refresh(view).then(() => paint(view)))),
      button(["Undo ", h("kbd", keyOf("undo"))], () => undoLast(view)),
      !view.dataset.statistics.images && exporter(view, "label-studio", "label-studio.json", "To Label Studio"),
      exporter(view, "csv", "review.csv", "Download CSV"),
      button("Make the cleaned data set", () => applyReview(view), "primary")));
}

async function applyReview(view) {
  await view.saving;
  const made = await post(pathOf(view, "/apply"));
  notify(`${count(made.rows_out)} of ${count(made.rows_in)} rows, ${count(made.relabelled)} with a new label.`);
  go(`/datasets/${made.dataset_id}`, { index: view.audit?.index_id });
}

function paintList(view) {
  replace(view.parts.list, view.queue.map((row, i) => {
    const [mark, kind] = MARKS[view.decisions.get(row.row_index)?.action] ?? "·";
    const at = view.start + i;
    return h("li", h("button", { class: ["queued-row", at === view.at && "current"], "aria-current": at === view.at ? "true" : null, onclick: () => { moveTo(view, at); paint(view); } },
      h("span", { class: ["mark-of", kind] }, mark), " ", rowText(row.row).slice(0, 120)));
  }));
}

const MARKS = { keep: ["✓", "helpful"], relabel: ["✎", "harmful"], remove: ["✗", "danger"], later: "…" };

function paintCard(view) {
  const row = currentRow(view);
  if (!row) return void replace(view.parts.card, empty("No rows here. Change the filters, or make the cleaned data set."));
  const { dataset, audit, names } = view;
  const label = row.label ?? row.row.label;
  const decision = view.decisions.get(row.row_index);
  const predicted = row.predicted_label == null ? null : labelName(row.predicted_label, names);
  const isOther = predicted !== null && row.predicted_label !== label;
  const decide = (action, text) => keyButton(keyOf(action), text, () => decideHere(view, action));
  replace(view.parts.card,
    faint(`${count(view.at + 1)} of ${count(view.rows)} · ${naming(row)}`, decision && h("strong", ` · decided: ${decision.action}${decision.label != null ? ` → ${labelName(decision.label, names)}` : ""}`)),
    picture(row.row, dataset.id, row.row_index, 256),
    h("p.text.big", rowText(row.row)),
    facts(
      label != null && fact("Label", labelName(label, names)),
      predicted !== null && fact("Model answers", h("span", { class: isOther && "harmful" }, predicted, row.predicted_probability !== null && ` (${percent(row.predicted_probability)})`))),
    signals(row),
    h("div.buttons.decide", decide("keep", "Keep"), isOther && keyButton(keyOf("accept"), `Relabel: ${predicted}`, () => acceptSuggestion(view)),
      decide("remove", "Remove"), decide("later", "Later")),
    ["classification", "image_classification"].includes(dataset.kind) && buttons(names.slice(0, 9).map((name, i) =>
      keyButton(i + 1, name, () => decideHere(view, "relabel", name)))),
    audit && link(tracePath(audit.index_id, dataset.id, row.row_index), "Which rows speak for and against it?"));
}

const keyButton = (key, text, act) => button([h("kbd", key), ` ${text}`], act);

const known = (pairs) => pairs.filter(([, value]) => value != null);

function signals(row) {
  const shares = known([["suspicion", row.suspicion, short(row.suspicion), "harmful"], ["probability of its label", row.probability, short(row.probability)]]);
  const figures = known([["loss", row.loss], ["self-influence", row.self_influence], ["margin", row.margin], ["score", row.score]]);
  return [shares.length > 0 && shareList(shares), figures.length > 0 && faint(figures.map(([name, value]) => `${name} ${short(value)}`).join(" · "))];
}

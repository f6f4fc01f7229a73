/** One action for many rows: first what it would do, then doing it. */

import { h, buttons, choice, faint, replace } from "../html.js";
import { post } from "../api.js";
import { clip, count, rowText } from "../format.js";
import { field } from "./intake-forms.js";
import { openDialog } from "./dialog.js";
import { attempt, notify } from "./problem.js";

/** Open the window of a bulk decision; `done` runs when rows were decided. */
export function openBulk(view, done) {
  const action = choice([["relabel", "relabel to what the model answers"], ["remove", "remove"], ["keep", "keep"], ["later", "decide later"]]);
  const top = h("input", { type: "number", min: 1, max: 100000, value: 20 });
  const disagree = h("input", { type: "checkbox", checked: true });
  const answer = h("div", { role: "status" });
  const request = (dryRun) => ({
    filter: disagree.checked ? { disagree: true } : {}, top: Number(top.value), sort: view.parameters.sort || "suspicion",
    action: action.value, ...(action.value === "relabel" ? { label_from: "predicted" } : {}),
    by: localStorage.getItem("datainf-reviewer") || undefined, dry_run: dryRun,
  });
  const send = (dryRun) => attempt(() => post(`/v1/reviews/${view.review.id}/decisions/bulk`, request(dryRun)));
  const preview = async () => {
    const found = await send(true);
    if (found) replace(answer, describe(found), h("button", { class: "primary", onclick: act }, `Decide about ${count(found.rows)} rows`));
  };
  const act = async () => {
    const made = await send(false);
    if (!made) return;
    close();
    notify(`${count(made.rows)} rows decided.`);
    attempt(done);
  };
  const close = openDialog("Decide about many",
    view.audit ? null : h("p", { class: "warning" }, "This review has no audit to choose rows by."),
    field("Action", action), field("The most suspicious first, at most", top),
    h("p", null, h("label", null, disagree, " only where the model disagrees with the label")),
    buttons(h("button", { onclick: preview }, "See what would change")), answer);
}

const describe = (found) => [
  h("p", null, `${count(found.rows)} rows would change, ${count(found.skipped)} are decided already or need no change.`),
  found.per_class && faint(Object.entries(found.per_class).map(([name, rows]) => `${name}: ${count(rows)}`).join(" · ")),
  h("ul", { class: "plain" }, found.samples.map((sample) => h("li", { class: "text" }, clip(rowText(sample.row), 120), sample.label !== null && ` → ${sample.label}`))),
];

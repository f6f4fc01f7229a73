/** One action for many rows: first what it would do, then doing it. */

import {
  button, buttons, choice, clip, count, faint, field, h, notify, numberInput, openDialog, plainList, post, replace, rowText,
} from "../kit.js";

/** `done` runs when rows were decided. */
export function openBulk(view, done) {
  const action = choice([["relabel", "relabel to what the model answers"], ["remove", "remove"], ["keep", "keep"], ["later", "decide later"]]);
  const top = numberInput(20, 1, 100000);
  const disagree = h("input", { type: "checkbox", checked: true });
  const answer = h("div", { role: "status" });
  const request = (dryRun) => ({
    filter: disagree.checked ? { disagree: true } : {}, top: Number(top.value), sort: view.parameters.sort || "suspicion",
    action: action.value, ...(action.value === "relabel" ? { label_from: "predicted" } : {}),
    by: localStorage.getItem("datainf-reviewer") || undefined, dry_run: dryRun,
  });
  const send = (dryRun) => post(`/v1/reviews/${view.review.id}/decisions/bulk`, request(dryRun));
  const preview = async () => {
    const found = await send(true);
    replace(answer, describe(found), button(`Decide about ${count(found.rows)} rows`, act, "primary"));
  };
  const act = async () => {
    const made = await send(false);
    close();
    notify(`${count(made.rows)} rows decided.`);
    await done();
  };
  const close = openDialog("Decide about many",
    view.audit ? null : h("p.warning", "This review has no audit to choose rows by."),
    field("Action", action), field("The most suspicious first, at most", top),
    h("p", h("label", disagree, " only where the model disagrees with the label")),
    buttons(button("See what would change", preview)), answer);
}

const describe = (found) => [
  h("p", `${count(found.rows)} rows would change, ${count(found.skipped)} are decided already or need no change.`),
  found.per_class && faint(Object.entries(found.per_class).map(([name, rows]) => `${name}: ${count(rows)}`).join(" · ")),
  plainList(found.samples.map((sample) => [clip(rowText(sample.row), 120), sample.label !== null && ` → ${sample.label}`])),
];

/** Groups of rows beside each other, and what leaving rows out is predicted to do. */

import { h, cell, empty, faint, number, replace, warnings } from "../html.js";
import { get, isFinal, list, post } from "../api.js";
import { clip, count, percent, rowText, short, signed } from "../format.js";
import { go } from "../router.js";
import { bounds, interval } from "../charts/forest.js";
import { attempt, jobError, problemBox } from "../parts/problem.js";
import { watchHere } from "../parts/progress.js";
import { openDialog } from "../parts/dialog.js";
import { field } from "../parts/intake-forms.js";
import { whatIf } from "../parts/what-if.js";

export async function show(screen, { groups: id, signal }) {
  let found = await get(`/v1/groups/${id}`, signal);
  const body = h("div");
  replace(screen, h("h1", null, `Groups by ${found.request.by}`),
    h("p", { class: "lead" }, "What each group of training rows does to the loss of the evaluation rows, on average per row. ",
      h("a", { href: `/ui/indexes/${found.index_id}` }, "Index")), body);
  if (!isFinal(found)) {
    await watchHere(body, found.job_id, signal);
    found = await get(`/v1/groups/${id}`, signal);
  }
  if (!found.groups) return void replace(body, problemBox(jobError(found.error)));
  const [low, high] = bounds(found.groups);
  replace(body,
    faint(`${found.method}${found.damping_scale ? `, damping ${short(found.damping_scale)}` : ""} · ${count(found.evaluation_rows)} evaluation rows · intervals of 95 % over them`),
    h("table", { class: "wide" },
      h("thead", null, h("tr", null, ["Group", "Rows", "Mean score", "", "Among most helpful", "Among most harmful", "Mean loss", ""].map((name, i) =>
        h("th", { scope: "col" }, name || h("span", { class: "hidden" }, i === 3 ? "Interval" : "Rows"))))),
      h("tbody", null, found.groups.map((group) => line(group, low, high, found)))),
    warnings(found.notes),
    found.classes && matrix(found),
    whatIf(found, signal),
  );
}

const nameOf = (group) => group.group ?? "(none)";

function line(group, low, high, found) {
  const open = () => openDialog(nameOf(group), ...[["▲ Most helpful rows", group.best], ["▼ Most harmful rows", group.worst]].map(([title, rows]) =>
    h("section", null, h("h3", null, title), h("ul", { class: "plain" }, rows.map((row) => h("li", { class: "text" },
      h("span", { class: row.score >= 0 ? "helpful" : "harmful" }, signed(row.score)), " ", clip(rowText(row.row), 240)))))));
  return h("tr", null,
    h("th", { scope: "row" }, clip(nameOf(group), 40)), number(count(group.rows)),
    h("td", { class: ["number", group.mean_score >= 0 ? "helpful" : "harmful"] }, group.mean_score >= 0 ? "▲ " : "▼ ", signed(group.mean_score)),
    cell(interval(group, low, high)),
    number(percent(group.share_of_helpful)), number(percent(group.share_of_harmful)),
    number(short(group.mean_loss)), cell(h("button", { onclick: open }, "Rows")));
}

function matrix(found) {
  return h("section", null, h("h2", null, "By class of the evaluation rows"),
    h("table", null,
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "Group"), found.classes.map((name) => h("th", { scope: "col" }, clip(name, 20))))),
      h("tbody", null, found.groups.map((group) => h("tr", null, h("th", { scope: "row" }, clip(nameOf(group), 40)),
        group.by_class.map((value) => h("td", { class: ["number", value >= 0 ? "helpful" : "harmful"] }, value === null ? "–" : signed(value))))))));
}

/** The form that asks for groups of an index; rows to judge by come from another data set. */
export async function groupsForm(index, dataset, signal) {
  const datasets = (await list("/v1/datasets", signal)).filter((item) => item.kind === dataset.kind);
  const columns = [...(dataset.statistics.labels ? ["label"] : []), ...Object.keys(dataset.metadata_columns ?? {})];
  if (!columns.length) return empty("These rows have neither labels nor other columns to group them by.");
  const by = h("select", null, columns.map((name) => h("option", { value: name }, name)));
  const judge = h("select", null, datasets.map((item) => h("option", { value: item.id, selected: item.id !== dataset.id }, `${clip(item.name ?? item.kind, 40)}, ${count(item.rows)} rows`)));
  const ask = (event) => {
    event.preventDefault();
    attempt(async () => {
      const made = await post(`/v1/indexes/${index.id}/groups`, { by: by.value, evaluation: { dataset_id: judge.value } });
      go(`/groups/${made.id}`);
    });
  };
  return h("form", { class: "inline", onsubmit: ask }, field("Group rows by", by), field("Judge by their effect on", judge), h("button", { class: "primary" }, "Compare"));
}

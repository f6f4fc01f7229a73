/** Groups of rows beside each other. */

import {
  arrowed, button, buttons, cell, clip, count, faint, h, link, number, openDialog, percent, plainList, replace, rowHead, rowText,
  section, short, sideOf, table, warnings, workView,
} from "../kit.js";
import { bounds, interval } from "../charts/forest.js";
import { reviewRows } from "../parts/filters.js";
import { whatIf } from "../parts/what-if.js";

export async function show(screen, { groups: id, signal }) {
  const [found, body] = await workView(screen, `/v1/groups/${id}`, signal, (asked) => [h("h1", `Groups by ${asked.request.by}`),
    h("p.lead", "What each group of training rows does to the loss of the evaluation rows, on average per row. ",
      link(`/indexes/${asked.index_id}`, "Index"))]);
  if (!found) return;
  const limits = bounds(found.groups);
  replace(body,
    faint(`${found.method}${found.damping_scale ? `, damping ${short(found.damping_scale)}` : ""} · ${count(found.evaluation_rows)} evaluation rows · intervals of 95 % over them`),
    table(["Group", "Rows", "Mean score", ".Interval", "Among most helpful", "Among most harmful", "Mean loss", ".Rows"],
      found.groups.map((group) => line(found, group, limits))),
    warnings(found.notes),
    found.classes && section("By class of the evaluation rows", table(["Group", ...found.classes.map((name) => clip(name, 20))],
      found.groups.map((group) => [nameOf(group), group.by_class.map(score)]), null)),
    whatIf(found),
  );
}

const nameOf = (group) => rowHead(clip(group.group ?? "(none)", 40));
const score = (value) => h("td", { class: ["number", sideOf(value)] }, value === null ? "–" : arrowed(value));

const rows = (title, shown) => h("section", h("h3", title), plainList(shown.map((row) => h("span.text",
  h("span", { class: sideOf(row.score) }, arrowed(row.score)), " ", clip(rowText(row.row), 240)))));

function line(found, group, limits) {
  const open = () => openDialog(group.group ?? "(none)",
    buttons(button("Review its rows", () => reviewRows(found.index_id, found.request.by, group.group))), rows("Most helpful rows", group.best), rows("Most harmful rows", group.worst));
  return [nameOf(group), number(count(group.rows)), score(group.mean_score),
    cell(interval(group, ...limits)),
    number(percent(group.share_of_helpful)), number(percent(group.share_of_harmful)),
    number(short(group.mean_loss)), cell(button("Rows", open))];
}

/** What if these rows were left out? Answered at once, as a guess that only training again can confirm. */

import { h, buttons, faint, replace, warnings } from "../html.js";
import { post } from "../api.js";
import { count, short, signed } from "../format.js";
import { attempt } from "./problem.js";
import { field } from "./intake-forms.js";
import { lines } from "../charts/lines.js";

/** The section of groups `found`. */
export function whatIf(found) {
  const which = h("select", null,
    h("option", { value: "" }, "the rows of lowest mean score"),
    found.groups.map((group) => h("option", { value: String(group.place) }, `group ${group.group ?? "(none)"}`)));
  const share = h("input", { type: "range", min: 0.5, max: 50, step: 0.5, value: 1 });
  const shown = h("output", null, "1 %");
  const answer = h("div", { role: "status" });
  const ask = () => attempt(async () => {
    shown.textContent = `${share.value} %`;
    const group = found.groups.find((one) => String(one.place) === which.value);
    const remove = group ? { group: group.group } : { lowest: { percent: Number(share.value) } };
    replace(answer, describe(await post(`/v1/groups/${found.id}/what-if`, { remove })));
  });
  which.addEventListener("change", ask);
  share.addEventListener("change", ask);
  return h("section", { class: "card what-if" }, h("h2", null, "What if rows were left out?"),
    field("Leave out", which), field("Share of all rows", share), shown,
    buttons(h("button", { onclick: ask }, "Ask")), answer);
}

function describe(answer) {
  const direction = answer.effect >= 0 ? "rise" : "fall";
  const picture = {
    title: "Leaving out the rows of lowest score", x_label: "percent of all rows", y_label: "effect", kind: "lines",
    series: [{ label: "sum of mean scores", x: answer.curve.map((one) => one.percent), y: answer.curve.map((one) => one.effect) }],
  };
  return [
    h("p", null, `Without these ${count(answer.rows_removed)} rows the evaluation loss is predicted to `, h("strong", { class: answer.effect >= 0 ? "harmful" : "helpful" }, direction),
      ` (sum of scores ${signed(answer.effect)}; random sets of this size: ${signed(answer.random_low)} to ${signed(answer.random_high)}, ${short(answer.percentile)} % of them lie lower).`,
      answer.predicted_change !== null && ` Calibrated: ${signed(answer.predicted_change)} in loss.`),
    warnings(answer.warnings),
    answer.labels && faint("Rows per class: ", answer.labels.map((one) => `${one.name} ${count(one.before)} → ${count(one.after)}`).join(" · ")),
    lines(picture),
    faint("A guess from scores. Train again without these rows to know: datainf evaluate leave-out."),
  ];
}

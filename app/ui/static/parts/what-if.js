/** A guess at once, which training again confirms. */

import {
  attempt, button, buttons, choice, count, faint, field, go, h, post, replace, short, sideOf, signed, warnings,
} from "../kit.js";
import { costText } from "./evaluation-form.js";
import { lines } from "../charts/lines.js";

export function whatIf(found) {
  const which = choice([["", "the rows of lowest mean score"], ...found.groups.map((group) => [group.place, `group ${group.group ?? "(none)"}`])]);
  const share = h("input", { type: "range", min: 0.5, max: 50, step: 0.5, value: 1 });
  const shown = h("output", "1 %");
  const answer = h("div", { role: "status" });
  const ask = async () => {
    shown.textContent = `${share.value} %`;
    const group = found.groups.find((one) => String(one.place) === which.value);
    const remove = group ? { group: group.group } : { lowest: { percent: Number(share.value) } };
    const path = `/v1/groups/${found.id}/what-if`;
    const verify = async () => go(`/evaluations/${(await post(path, { remove, verify: true })).evaluation_id}`);
    replace(answer, describe(await post(path, { remove }), verify));
  };
  for (const input of [which, share]) input.addEventListener("change", () => attempt(ask));
  return h("section.card.what-if", h("h2", "What if rows were left out?"),
    field("Leave out", which), field("Share of all rows", share), shown,
    buttons(button("Ask", ask)), answer);
}

function describe(answer, verify) {
  const picture = {
    title: "Leaving out the rows of lowest score", x_label: "percent of all rows", y_label: "effect", kind: "lines",
    series: [{ label: "sum of mean scores", x: answer.curve.map((one) => one.percent), y: answer.curve.map((one) => one.effect) }],
  };
  return [
    h("p", `Without these ${count(answer.rows_removed)} rows the evaluation loss is predicted to `, h("strong", { class: sideOf(-answer.effect) }, answer.effect >= 0 ? "rise" : "fall"),
      ` (sum of scores ${signed(answer.effect)}; random sets of this size: ${signed(answer.random_low)} to ${signed(answer.random_high)}, ${short(answer.percentile)} % of them lie lower).`,
      answer.predicted_change !== null && ` Calibrated: ${signed(answer.predicted_change)} in loss.`),
    warnings(answer.warnings),
    answer.labels && faint("Rows per class: ", answer.labels.map((one) => `${one.name} ${count(one.before)} → ${count(one.after)}`).join(" · ")),
    lines(picture),
    faint(`A guess from scores. To know, train again without these rows, and without others: ${costText(answer.cost)}.`),
    button("Train again to know", verify),
  ];
}

/** Which rows are shown. */

import { buttons, choice, get, h, labelName, withQuery } from "../kit.js";

const SORTS = ["suspicion", "loss", "self_influence", "score", "probability", "margin", "row_index"];

/** Filters of `view.audit`; `change` takes what the user changed of the view's parameters. */
export function auditFilters({ audit, names, parameters }, change) {
  const select = (label, name, options) => h("label", label, " ", choice(options, parameters[name], (value) => change({ [name]: value })));
  const labels = [["", "all"], ...(audit.classes ?? []).map((item) => [item.label, labelName(item.label, names)])];
  const { where } = parameters;
  const toggle = (event) => change({ disagree: event.target.checked ? "true" : "" });
  return h("div.filters",
    select("Sorted by", "sort", SORTS.map((name) => [name, name.replaceAll("_", " ")])),
    select("Order", "order", [["", "largest first"], ["asc", "smallest first"]]),
    labels.length > 1 && [select("Label", "label", labels), select("Model answers", "predicted", labels),
      h("label", h("input", { type: "checkbox", checked: parameters.disagree === "true", onchange: toggle }), " only where they disagree")],
    h("label", "Words ", h("input", { type: "search", value: parameters.q ?? "", onchange: (event) => change({ q: event.target.value }) })),
    where && h("label", h("input", { type: "checkbox", checked: true, onchange: (event) => change({ where: event.target.checked ? where : "" }) }), " only those chosen before"));
}

/** One page of the rows of an audit or a review. */
export function rowsOf(path, { parameters, signal }, offset, length) {
  const { sort, order, label, predicted, disagree, q, where } = parameters;
  return get(withQuery(`${path}/rows`, { sort, order, label, predicted, disagree, q, where, offset, length }), signal);
}

/** The buttons below a page; `turn` goes to an offset. */
export const pager = (offset, length, hasMore, turn) => buttons(
  h("button", { disabled: offset === 0, onclick: () => turn(Math.max(0, offset - length)) }, "Previous"),
  h("button", { disabled: !hasMore, onclick: () => turn(offset + length) }, "Next"));

/** Which rows are shown, and where they lead. */

import { buttons, choice, get, go, h, labelName, list, post, withQuery } from "../kit.js";

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

/** Go to the rows of an index that have a value, in the review that was begun last, or in a new one. */
export async function reviewRows(index, column, value) {
  const { dataset_id: dataset } = (await get(`/v1/indexes/${index}`)).spec;
  const [reviews, audits] = await Promise.all([list(`/v1/reviews?dataset_id=${dataset}`), list(`/v1/audits?index_id=${index}`)]);
  const audit = audits.find(({ state }) => state === "succeeded");
  const review = reviews[0] ?? await post("/v1/reviews", { dataset_id: dataset, audit_id: audit?.id });
  go(`/reviews/${review.id}`, { where: JSON.stringify([{ column, op: value === null ? "is_null" : "eq", value: value ?? undefined }]) });
}

/** Grow an index to the rows of a data set, or build another one like it. */
export async function rebuild({ id, spec }, dataset) {
  const growing = spec.storage === "compact" ? { grow_from: id } : { storage: spec.storage };
  const made = await post("/v1/indexes", { checkpoint_id: spec.checkpoint_id, dataset_id: dataset, ...spec.gradients, ...growing });
  go(`/indexes/${made.id}`);
}

/** Where rows lead: to their review, to their index. */

import { get, go, list, post } from "../kit.js";

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

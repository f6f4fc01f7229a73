/** One job: where it is, how fast, how long still. */

import { get, h, isFinal, link, problemBox, progressBar, replace, watchHere } from "../kit.js";

const VIEWS = { index: "indexes", audit: "audits", evaluation: "evaluations", groups: "groups" };

export async function show(screen, { job: id, signal }) {
  let job = await get(`/v1/jobs/${id}`, signal);
  const body = h("div");
  replace(screen, h("h1", `Job: ${job.kind}`),
    h("p", h("code", id), VIEWS[job.kind] && [" makes ", link(`/${VIEWS[job.kind]}/${job.resource_id}`, job.resource_id)]),
    body);
  if (!isFinal(job)) job = await watchHere(body, id, signal);
  replace(body, job.error ? problemBox(job.error) : progressBar(job));
}

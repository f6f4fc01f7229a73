/** One job: where it is, how fast, how long still. */

import { h, buttons, replace } from "../html.js";
import { get, isFinal, remove } from "../api.js";
import { attempt, jobError, problemBox } from "../parts/problem.js";
import { confirmThen } from "../parts/dialog.js";
import { progressBar, watchHere } from "../parts/progress.js";

const VIEWS = { index: "indexes", audit: "audits", evaluation: "evaluations" };

export async function show(screen, { job: id, signal }) {
  let job = await get(`/v1/jobs/${id}`, signal);
  const body = h("div");
  const cancel = () => confirmThen("Cancel this job?", "What it has made so far is removed.", "Cancel the job", () => attempt(() => remove(`/v1/jobs/${id}`)));
  replace(screen, h("h1", null, `Job: ${job.kind}`),
    h("p", null, h("code", null, id), VIEWS[job.kind] && [" makes ", h("a", { href: `/ui/${VIEWS[job.kind]}/${job.resource_id}` }, job.resource_id)]),
    body,
    !isFinal(job) && buttons(h("button", { class: "danger", onclick: cancel }, "Cancel")));
  if (!isFinal(job)) job = await watchHere(body, id, signal);
  replace(body, job.error ? problemBox(jobError(job.error)) : progressBar(job));
}

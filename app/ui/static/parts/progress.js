/** How far a job is. */

import { h, replace } from "../html.js";
import { count, duration, short } from "../format.js";
import { isFinal, remove, watch } from "../api.js";
import { attempt } from "./problem.js";

/** A progress bar of a job that is known, in words as well. */
export function progressBar(job) {
  const { phase, done, total, unit, rate, eta_seconds: eta, note } = job.progress;
  const share = total > 0 ? done / total : null;
  return h("div", { class: "progress" },
    h("progress", { max: 1, ...(share === null ? {} : { value: share }), "aria-label": `${job.kind} ${phase}` }),
    h("p", { class: "faint" },
      job.state === "running" ? phase : job.state,
      total > 0 && ` · ${count(done)} of ${count(total)} ${unit}`,
      rate && ` · ${short(rate)} ${unit} per second`,
      eta != null && !isFinal(job) && ` · about ${duration(eta)} left`,
      note?.message && ` · ${note.message}`,
    ),
  );
}

/** Watch a job, with a button to cancel it, until it is final; answers it. */
export async function watchHere(element, jobId, signal) {
  const cancel = h("button", { class: "quiet", onclick: () => attempt(() => remove(`/v1/jobs/${jobId}`)) }, "Cancel");
  const bar = h("div");
  replace(element, h("div", { class: "watching" }, bar, cancel));
  return watch(jobId, (job) => replace(bar, progressBar(job)), signal);
}

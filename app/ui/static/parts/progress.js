import { faint, h, replace } from "../html.js";
import { count, duration, short } from "../format.js";
import { get, isFinal, pause, remove, watch } from "../api.js";
import { attempt, button, problemBox } from "./problem.js";

export function progressBar(job) {
  const { phase, phases, done, total, unit, rate, eta_seconds: eta, note } = job.progress;
  return h("div.progress",
    h("progress", { max: 1, ...(total > 0 ? { value: done / total } : {}), "aria-label": `${job.kind} ${phase}` }),
    faint(
      job.state === "running" ? (phases.length ? phases : [phase]).map((name, i) => [i > 0 && " › ", h(name === phase ? "strong" : "span", name)]) : job.state,
      total > 0 && ` · ${count(done)} of ${count(total)} ${unit}`,
      rate && ` · ${short(rate)} ${unit} per second`,
      eta != null && !isFinal(job) && ` · about ${duration(eta)} left`,
      note?.message && ` · ${note.message}`));
}

/** Watch a job, with a button to cancel it, until it is final; answers it. */
export async function watchHere(element, jobId, signal) {
  const bar = h("div");
  replace(element, h("div.watching", bar, button("Cancel", () => remove(`/v1/jobs/${jobId}`), "quiet")));
  return watch(jobId, (job) => replace(bar, progressBar(job)), signal);
}

/** What long work made, once over, read again from `path`; null where it failed, which `element` shows. */
export async function settle(record, path, element, signal) {
  let made = record;
  if (!isFinal(made)) {
    await watchHere(element, made.job_id, signal);
    made = await get(path, signal);
  }
  if (made.state === "succeeded") return made;
  replace(element, problemBox(made.error ?? { title: "Nothing came of it", message: `It was ${made.state}.` }));
  return null;
}

/** A view of long work: its head at once; answers the record once over, or null, and where the rest is shown. */
export async function workView(screen, path, signal, head) {
  const asked = await get(path, signal);
  const body = h("div");
  replace(screen, head(asked), body);
  return [await settle(asked, path, body, signal), body];
}

export const stateOf = ({ state }) => h("span", { class: ["state", state] }, state);

/** Look, and again every two seconds while any of the records that `look` answers is at work. */
export async function lookAgain(look, signal) {
  const records = await look();
  if (records.every(isFinal)) return;
  attempt(async () => {
    await pause(2000, signal);
    await lookAgain(look, signal);
  });
}

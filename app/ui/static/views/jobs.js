/** Long work of every kind, the newest first. */

import { ago, cell, empty, h, link, list, lookAgain, progressBar, replace, rowHead, shortId, stateOf, table } from "../kit.js";

const KINDS = { index: "indexes", audit: "audits", evaluation: "evaluations" };

export async function show(screen, { signal }) {
  const body = h("div");
  replace(screen, h("h1", "Jobs"), h("p.lead", "Builds, audits and evaluations. Closing this page stops nothing."), body);
  await lookAgain(async () => {
    const found = await Promise.all(Object.entries(KINDS).map(async ([kind, place]) =>
      (await list(`/v1/${place}`, signal)).map((item) => ({ ...item, kind, place }))));
    const work = found.flat().toSorted((a, b) => b.created_at.localeCompare(a.created_at));
    replace(body, work.length ? workTable(work) : empty("Nothing was asked yet."));
    return work;
  }, signal);
}

const workTable = (work) => table(["What", "State", "Progress", "Asked", "Job"], work.map((item) => [
  rowHead(link(`/${item.place}/${item.id}`, item.name ?? `${item.kind} ${shortId(item.id)}`)),
  cell(stateOf(item)), cell(item.progress && item.state === "running" && progressBar(item)), cell(ago(item.created_at)),
  cell(link(`/jobs/${item.job_id}`, shortId(item.job_id)))]));

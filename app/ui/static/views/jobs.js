/** Long work of every kind, the newest first. */

import { h, cell, empty, headings, replace } from "../html.js";
import { list } from "../api.js";
import { ago, shortId } from "../format.js";
import { attempt } from "../parts/problem.js";
import { progressBar } from "../parts/progress.js";

const KINDS = [
  ["index", "/v1/indexes", (item) => `/ui/indexes/${item.id}`],
  ["audit", "/v1/audits", (item) => `/ui/audits/${item.id}`],
  ["evaluation", "/v1/evaluations", (item) => `/ui/evaluations/${item.id}`],
];

export async function show(screen, { signal }) {
  const table = h("div");
  replace(screen, h("h1", null, "Jobs"), h("p", { class: "lead" }, "Builds, audits and evaluations. Closing this page stops nothing."), table);
  const refresh = async () => {
    const found = await Promise.all(KINDS.map(([, path]) => list(path, signal)));
    const work = found.flatMap((items, i) => items.map((item) => ({ item, kind: KINDS[i][0], link: KINDS[i][2](item) })));
    work.sort((a, b) => b.item.created_at.localeCompare(a.item.created_at));
    replace(table, work.length ? workTable(work) : empty("Nothing was asked yet."));
    if (!work.some(({ item }) => ["queued", "running"].includes(item.state))) return;
    const timer = setTimeout(() => attempt(refresh), 2000);
    signal.addEventListener("abort", () => clearTimeout(timer));
  };
  await refresh();
}

const workTable = (work) =>
  h("table", { class: "wide" },
    headings(["What", "State", "Progress", "Asked", "Job"]),
    h("tbody", null, work.map(({ item, kind, link }) => h("tr", null,
      h("th", { scope: "row" }, h("a", { href: link }, item.name ?? `${kind} ${shortId(item.id)}`)),
      cell(h("span", { class: ["state", item.state] }, item.state)),
      cell(item.progress && item.state === "running" && progressBar({ kind, state: item.state, progress: item.progress })),
      cell(ago(item.created_at)),
      cell(h("a", { href: `/ui/jobs/${item.job_id}` }, shortId(item.job_id)))))));

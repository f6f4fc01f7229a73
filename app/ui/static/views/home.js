/** Home: three steps to a first answer, what runs, what is there. */

import { h, aside, cell, empty, number, replace } from "../html.js";
import { list } from "../api.js";
import { ago, bytes, clip, count, shortId } from "../format.js";
import { progressBar } from "../parts/progress.js";
import { checkpointForm, datasetForm, indexForm } from "../parts/intake-forms.js";
import { attempt } from "../parts/problem.js";

export async function show(screen, { signal }) {
  const steps = h("div", { class: "steps" });
  const running = h("section", null);
  const indexes = h("section", null);
  replace(screen,
    h("h1", null, "Which training rows taught it that?"),
    h("p", { class: "lead" }, "Send what you trained and the rows you trained it on. Then ask the model about any answer it gives."),
    steps, running, indexes,
  );
  const refresh = () => fill({ steps, running, indexes }, signal, refresh);
  await refresh();
}

async function fill(parts, signal, refresh) {
  const [checkpoints, datasets, built] = await Promise.all([
    list("/v1/checkpoints", signal), list("/v1/datasets", signal), list("/v1/indexes", signal),
  ]);
  replace(parts.steps,
    step(1, "Checkpoint", checkpoints.length && `${count(checkpoints.length)} here`, checkpointForm(refresh)),
    step(2, "Rows", datasets.length && `${count(datasets.length)} data sets here`, datasetForm(refresh)),
    step(3, "Index", built.length && `${count(built.length)} here`, indexForm(checkpoints, datasets)),
  );
  const active = built.filter((index) => ["queued", "running"].includes(index.state));
  replace(parts.running, active.length > 0 && [h("h2", null, "Running"), active.map(runningCard)]);
  replace(parts.indexes, h("h2", null, "Indexes"), built.length ? indexTable(built, datasets, checkpoints) : emptyState());
  if (active.length) {
    const timer = setTimeout(() => attempt(refresh), 2000);
    signal.addEventListener("abort", () => clearTimeout(timer));
  }
}

const step = (mark, title, state, form) =>
  h("section", { class: "step card" },
    h("h2", null, h("span", { class: "badge" }, mark), title, state && aside(` · ${state}`)), form);

const emptyState = () =>
  empty("No index yet. Steps 1 to 3 make one; from then on a question is answered in milliseconds. ",
    "To see it with sample data, run ", h("code", null, "make demo"), " and open the address that it prints.");

const runningCard = (index) =>
  h("div", { class: "card" },
    h("a", { href: `/ui/indexes/${index.id}` }, index.name ?? `Index ${shortId(index.id)}`),
    index.progress ? progressBar({ kind: "index", state: index.state, progress: index.progress }) : h("p", null, index.state));

function indexTable(indexes, datasets, checkpoints) {
  const dataset = new Map(datasets.map((item) => [item.id, item]));
  const checkpoint = new Map(checkpoints.map((item) => [item.id, item]));
  return h("table", { class: "wide" },
    h("thead", null, h("tr", null, ["Index", "Model", "Rows", "State", "Size", "Made"].map((name) => h("th", { scope: "col" }, name)), h("th", null, h("span", { class: "hidden" }, "Actions")))),
    h("tbody", null, indexes.map((index) => {
      const rows = dataset.get(index.spec.dataset_id);
      const model = checkpoint.get(index.spec.checkpoint_id);
      return h("tr", null,
        h("th", { scope: "row" }, h("a", { href: `/ui/indexes/${index.id}` }, index.name ?? clip(rows?.name ?? shortId(index.id), 40))),
        cell(clip(model?.base_model.name ?? shortId(index.spec.checkpoint_id), 40)),
        number(count(index.rows)),
        cell(h("span", { class: ["state", index.state] }, index.state)),
        number(bytes(index.bytes)),
        cell(ago(index.created_at)),
        cell(index.state === "succeeded" && h("a", { class: "button", href: `/ui/indexes/${index.id}/trace` }, "Ask")),
      );
    })),
  );
}

/** Home: three steps to a first answer, what runs, what is there. */

import {
  ago, aside, button, bytes, cell, clip, count, empty, h, isFinal, link, list, lookAgain, number,
  progressBar, remove, replace, rowHead, shortId, stateOf, table,
} from "../kit.js";
import { checkpointForm, datasetForm, indexForm, sampleForm } from "../parts/intake-forms.js";

export async function show(screen, { signal }) {
  const [build, indexes] = [h("div"), h("section")];
  const here = ["", "", ""].map(() => aside());
  let offered = null;
  const look = async () => {
    const found = await Promise.all(["checkpoints", "datasets", "indexes"].map((kind) => list(`/v1/${kind}`, signal)));
    const [checkpoints, datasets, built] = found;
    found.forEach((items, i) => replace(here[i], items.length > 0 && ` · ${count(items.length)} here`));
    const choices = [...checkpoints, ...datasets].map((item) => item.id).join();
    if (choices !== offered) replace(build, indexForm(checkpoints, datasets)); // what is being filled in stays otherwise
    offered = choices;
    replace(indexes, h("h2", "Indexes"), built.length ? indexTable(built, datasets, checkpoints) : empty("No index yet. Steps 1 to 3 make one; then a question is answered in milliseconds."));
    return built;
  };
  const step = (mark, title, form) => h("section.step.card", h("h2", h("span.badge", mark), title, here[mark - 1]), form);
  replace(screen,
    h("h1", "Which training rows taught it that?"),
    h("p.lead", "Send what you trained and the rows you trained it on. Then ask the model about any answer it gives."),
    h("div.steps", step(1, "Checkpoint", checkpointForm(look)), step(2, "Rows", datasetForm(look)), step(3, "Index", build)),
    indexes, sampleForm(look, signal),
  );
  await lookAgain(look, signal);
}

function indexTable(indexes, datasets, checkpoints) {
  const known = new Map([...datasets, ...checkpoints].map((item) => [item.id, item]));
  return table(["Index", "Model", "Rows", "State", "Size", "Made", ".Actions"], indexes.map((index) => {
    const { id, spec } = index;
    return [
      rowHead(link(`/indexes/${id}`, index.name ?? clip(known.get(spec.dataset_id)?.name ?? shortId(id), 40))),
      cell(clip(known.get(spec.checkpoint_id)?.base_model.name ?? shortId(spec.checkpoint_id), 40)),
      number(count(index.rows)),
      cell(stateOf(index), index.progress && progressBar({ ...index, kind: "index" })), number(bytes(index.bytes)), cell(ago(index.created_at)),
      cell(index.state === "succeeded" ? link(`/indexes/${id}/trace`, "Ask", "button")
        : !isFinal(index) && button("Cancel", () => remove(`/v1/jobs/${index.job_id}`)))];
  }));
}

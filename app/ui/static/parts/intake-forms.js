/** The forms of Home. */

import {
  bytes, call, choice, clip, count, datasetChoice, empty, field, fileInput, form, formOf, go, h, list, post, settle,
  shortId, textInput, warnings,
} from "../kit.js";

/** Texts between commas; undefined where there is none. */
function split(text) {
  const names = text.split(",").map((name) => name.trim()).filter(Boolean);
  return names.length ? names : undefined;
}

/** Step 1: an adapter as a zip or by its path, or a plain model. */
export function checkpointForm(done) {
  const base = textInput("minilm-l6, a path or a hub id", true);
  const names = textInput("negative, positive");
  const path = textInput("/models/my-adapter");
  const parts = textInput("classifier");
  const file = fileInput(".zip,application/zip", false);
  const act = async () => {
    const said = { base_model: base.value.trim(), label_names: split(names.value), trainable: split(parts.value) };
    const [adapter] = file.files;
    const made = await post("/v1/checkpoints", adapter ? formOf({ ...said, adapter }) : { ...said, adapter: path.value.trim() || undefined });
    done();
    return h("p", `Taken: ${made.base_model.name}, ${made.task.replaceAll("_", " ")}, ${count(made.parameters)} parameters.`);
  };
  return form([field("Base model", base), field("Adapter folder as .zip", file), field("or its path", path), field("or modules of the model itself", parts), field("Class names", names, "In the order of the head's outputs; read from the model where it has them.")], "Send the checkpoint", act);
}

export function datasetForm(done) {
  const file = fileInput(".jsonl,.json,.csv,.tsv,.parquet,.gz,.zst,.zip");
  const columns = textInput("text=body, label=y");
  const act = async () => {
    const roles = split(columns.value)?.map((pair) => pair.split("=").map((part) => part.trim()));
    const made = await post("/v1/datasets", formOf({ columns: roles && Object.fromEntries(roles), file: file.files[0] }));
    done();
    return [h("p", `Taken: ${count(made.rows)} rows, ${made.kind}, ${bytes(made.bytes)}.`), warnings(made.problems)];
  };
  return form([field("JSONL, JSON, CSV or Parquet, or images in a .zip", file), field("Columns", columns, "Only where their names do not say it.")], "Send the rows", act);
}

export function indexForm(checkpoints, datasets) {
  if (!checkpoints.length || !datasets.length) return empty("First a checkpoint and its rows.");
  const checkpoint = choice(checkpoints.map((item) => [item.id, `${clip(item.name ?? item.base_model.name, 40)} (${shortId(item.id)})`]));
  const dataset = datasetChoice(datasets);
  const length = textInput("as in training, or 512");
  const storage = choice(["auto", "compact", "full"].map((name) => [name, name]));
  const act = async () => {
    const made = await post("/v1/indexes", {
      checkpoint_id: checkpoint.value, dataset_id: dataset.value, max_length: length.value || null, storage: storage.value,
    });
    go(`/indexes/${made.id}`);
  };
  return form([field("Checkpoint", checkpoint), field("Rows", dataset), field("Tokens per row, at most", length), field("Storage", storage)], "Build the index", act);
}

const SAMPLE = "Sample tickets";
const sampleFile = async (name) => new File([await (await call(`/ui/sample/${name}`)).blob()], name);
const sampleRows = async (name, title) => post("/v1/datasets", formOf({ name: title, file: await sampleFile(name) }));

/** A button that sends the sample set as anyone's own, has it audited and goes there; what is there already is found. */
export function sampleForm(sent, signal) {
  const work = h("div");
  const act = async () => {
    const [checkpoint, train, heldout] = await Promise.all([
      sampleFile("adapter.zip").then((adapter) => post("/v1/checkpoints", formOf({ name: SAMPLE, base_model: "tickets-tiny", adapter }))),
      sampleRows("train.jsonl", SAMPLE), sampleRows("heldout.jsonl", `${SAMPLE}, held out`)]);
    const index = await post("/v1/indexes", { name: SAMPLE, checkpoint_id: checkpoint.id, dataset_id: train.id, max_length: 128 });
    await sent();
    if (!await settle(index, `/v1/indexes/${index.id}`, work, signal)) return;
    const audits = await list(`/v1/audits?index_id=${index.id}`, signal);
    const audit = audits.find((one) => one.state === "succeeded")
      ?? await post(`/v1/indexes/${index.id}/audits`, { evaluation: { dataset_id: heldout.id } });
    go(`/audits/${audit.id}`);
  };
  return form([h("p",
    "No data at hand? The sample set is 400 support tickets of four sources, written by a program, 36 of them with a wrong label on purpose, ",
    "and a tiny model that learned them. It is sent by the same calls as yours."), work], "Load the sample set", act);
}

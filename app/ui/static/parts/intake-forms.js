/** The three forms of Home: a checkpoint, rows, an index of both. */

import {
  bytes, choice, clip, count, datasetChoice, empty, field, fileInput, form, go, h, numberInput, post, shortId, textInput,
  warnings,
} from "../kit.js";

/** A form's parts: what is no file and no text goes in as JSON, what is not said stays out. */
function formOf(parts) {
  const body = new FormData();
  for (const [name, value] of Object.entries(parts)) {
    if (value !== undefined) body.set(name, value instanceof Blob || typeof value === "string" ? value : JSON.stringify(value));
  }
  return body;
}

/** Texts between commas; undefined where there is none. */
function split(text) {
  const names = text.split(",").map((name) => name.trim()).filter(Boolean);
  return names.length ? names : undefined;
}

/** Step 1: an adapter as a zip, or a path that the service may read. */
export function checkpointForm(done) {
  const base = textInput("minilm-l6, a path or a hub id", true);
  const names = textInput("negative, positive");
  const path = textInput("/models/my-adapter");
  const file = fileInput(".zip,application/zip", false);
  const act = async () => {
    const said = { base_model: base.value.trim(), label_names: split(names.value) };
    const [adapter] = file.files;
    const made = await post("/v1/checkpoints", adapter ? formOf({ ...said, adapter }) : { ...said, adapter: path.value.trim() || undefined });
    done();
    return h("p", `Taken: ${made.base_model.name}, ${made.task.replaceAll("_", " ")}, ${count(made.parameters)} parameters.`);
  };
  return form([field("Base model", base), field("Adapter folder as .zip", file), field("or its path", path), field("Class names", names, "In the order of the head's outputs; read from the model where it has them.")], "Send the checkpoint", act);
}

/** Step 2: rows as a file. */
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

/** Step 3: an index of a checkpoint and a data set. */
export function indexForm(checkpoints, datasets) {
  if (!checkpoints.length || !datasets.length) return empty("First a checkpoint and its rows.");
  const checkpoint = choice(checkpoints.map((item) => [item.id, `${clip(item.name ?? item.base_model.name, 40)} (${shortId(item.id)})`]));
  const dataset = datasetChoice(datasets);
  const length = numberInput(512, 1, 1048576);
  const storage = choice(["auto", "compact", "full"].map((name) => [name, name]));
  const act = async () => {
    const made = await post("/v1/indexes", {
      checkpoint_id: checkpoint.value, dataset_id: dataset.value, max_length: Number(length.value), storage: storage.value,
    });
    go(`/indexes/${made.id}`);
  };
  return form([field("Checkpoint", checkpoint), field("Rows", dataset), field("Tokens per row, at most", length), field("Storage", storage)], "Build the index", act);
}

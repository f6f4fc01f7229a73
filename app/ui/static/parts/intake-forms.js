/** The three forms of Home: a checkpoint, rows, an index of both. */

import { h, buttons, choice, empty, faint, replace, warnings } from "../html.js";
import { post, upload } from "../api.js";
import { bytes, clip, count, shortId } from "../format.js";
import { go } from "../router.js";
import { problemBox } from "./problem.js";

let serial = 0;

/** A labelled field. */
export function field(label, input, help) {
  const id = `field-${++serial}`;
  input.id = id;
  return h("div", { class: "field" }, h("label", { for: id }, label), input, help && faint(help));
}

/** A place to drop a file or to choose one. */
function fileField(label, accept) {
  const input = h("input", { type: "file", accept, required: true });
  const box = h("div", { class: "drop",
    ondragover: (event) => { event.preventDefault(); box.classList.add("over"); },
    ondragleave: () => box.classList.remove("over"),
    ondrop: (event) => {
      event.preventDefault();
      box.classList.remove("over");
      if (event.dataTransfer.files.length) input.files = event.dataTransfer.files;
    },
  }, field(label, input));
  return { box, input };
}

/** A form that says what it does, and what went wrong, in its own place. */
function form(fields, verb, act) {
  const answer = h("div", { role: "status" });
  const button = h("button", { class: "primary" }, verb);
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    replace(answer, faint("Sending …"));
    try {
      replace(answer, await act());
    } catch (error) {
      replace(answer, problemBox(error));
    }
    button.disabled = false;
  };
  return h("form", { onsubmit: submit }, fields, buttons(button), answer);
}

/** Step 1: an adapter as a zip, or a path that the service may read. */
export function checkpointForm(done) {
  const base = h("input", { required: true, placeholder: "minilm-l6, a path or a hub id", autocomplete: "off" });
  const names = h("input", { placeholder: "negative, positive", autocomplete: "off" });
  const path = h("input", { placeholder: "/models/my-adapter", autocomplete: "off" });
  const { box, input } = fileField("Adapter folder as .zip", ".zip,application/zip");
  input.required = false;
  const act = async () => {
    const made = input.files.length ? await sendAdapter(base, names, input.files[0]) : await nameAdapter(base, names, path);
    done();
    return h("p", null, `Taken: ${made.base_model.name}, ${made.task.replaceAll("_", " ")}, ${count(made.parameters)} parameters.`);
  };
  return form([field("Base model", base), box, field("or its path", path), field("Class names", names, "In the order of the head's outputs; read from the model where it has them.")], "Send the checkpoint", act);
}

const splitNames = (text) => text.split(",").map((name) => name.trim()).filter(Boolean);

function sendAdapter(base, names, file) {
  const body = new FormData();
  body.set("base_model", base.value.trim());
  if (names.value.trim()) body.set("label_names", JSON.stringify(splitNames(names.value)));
  body.set("adapter", file);
  return upload("/v1/checkpoints", body);
}

function nameAdapter(base, names, path) {
  const label_names = names.value.trim() ? splitNames(names.value) : undefined;
  return post("/v1/checkpoints", { base_model: base.value.trim(), adapter: path.value.trim() || undefined, label_names });
}

/** Step 2: rows as a file. */
export function datasetForm(done) {
  const { box, input } = fileField("JSONL, JSON, CSV or Parquet, or images in a .zip", ".jsonl,.json,.csv,.tsv,.parquet,.gz,.zst,.zip");
  const columns = h("input", { placeholder: "text=body, label=y", autocomplete: "off" });
  const act = async () => {
    const body = new FormData();
    if (columns.value.trim()) body.set("columns", JSON.stringify(Object.fromEntries(splitNames(columns.value).map((pair) => pair.split("=").map((part) => part.trim())))));
    body.set("file", input.files[0]);
    const made = await upload("/v1/datasets", body);
    done();
    return [
      h("p", null, `Taken: ${count(made.rows)} rows, ${made.kind}, ${bytes(made.bytes)}.`),
      warnings(made.problems),
    ];
  };
  return form([box, field("Columns", columns, "Only where their names do not say it.")], "Send the rows", act);
}

/** Step 3: an index of a checkpoint and a data set. */
export function indexForm(checkpoints, datasets) {
  const choose = (items, text) => h("select", { required: true }, items.map((item) => h("option", { value: item.id }, text(item))));
  const checkpoint = choose(checkpoints, (item) => `${clip(item.name ?? item.base_model.name, 40)} (${shortId(item.id)})`);
  const dataset = choose(datasets, (item) => `${clip(item.name ?? item.kind, 40)}, ${count(item.rows)} rows`);
  const length = h("input", { type: "number", min: 1, max: 1048576, value: 512 });
  const storage = choice(["auto", "compact", "full"].map((name) => [name, name]));
  const act = async () => {
    const made = await post("/v1/indexes", {
      checkpoint_id: checkpoint.value, dataset_id: dataset.value, max_length: Number(length.value), storage: storage.value,
    });
    go(`/indexes/${made.id}`);
  };
  if (!checkpoints.length || !datasets.length) return empty("First a checkpoint and its rows.");
  return form([field("Checkpoint", checkpoint), field("Rows", dataset), field("Tokens per row, at most", length), field("Storage", storage)], "Build the index", act);
}

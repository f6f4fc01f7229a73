"""`datainf build`: send what was trained and its rows, start the index, watch it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cli.client.files import open_adapter, open_file
from cli.client.job_events import JobBar, follow_job, require_success
from cli.client.service import Service, resource_path
from cli.options import given
from cli.printing.output import Output
from cli.printing.text import bytes_text, count, duration_text, plain
from influence.contracts.common import Json
from influence.contracts.index import Growth, Index
from influence.contracts.job import Job
from influence.errors import InvalidRequest


@dataclass(frozen=True)
class BuildOptions:
    """What to send. Checkpoint and data set are either uploaded or named by their ids."""

    base_model: str | None = None
    adapter: Path | None = None
    trainable: list[str] | None = None
    checkpoint_id: str | None = None
    data: Path | None = None
    dataset_id: str | None = None
    task: str | None = None
    revision: str | None = None
    columns: Json | None = None
    label_names: list[str] | None = None
    index: Json = field(default_factory=dict)


def build(service: Service, options: BuildOptions, output: Output, *, wait: bool) -> Json:
    """The index as the service tells it, ready when waited for. Raises what the service and the files have to say."""
    check_options(options)
    checkpoint_id = options.checkpoint_id or send_checkpoint(service, options, output)
    dataset_id = options.dataset_id or send_dataset(service, options, output)
    body = {"checkpoint_id": checkpoint_id, "dataset_id": dataset_id, **options.index}
    made = service.post("/v1/indexes", body)
    index = Index.model_validate(made)
    if index.state == "succeeded":
        output.note(f"Index       {plain(index.id)} was built before")
        return made
    output.note(f"Index       {plain(index.id)} (job {plain(index.job_id)})")
    if not wait:
        return made
    for note in service.send("GET", "/health/ready", refuse=False).get("notes", []):
        output.note(f"Note: {plain(note, 200)}")
    require_success(watch(service, index.job_id, output))
    return service.get(resource_path(index.id) or f"/v1/indexes/{index.id}")


def check_options(options: BuildOptions) -> None:
    """Raise InvalidRequest where too little or too much is named."""
    parts = [options.adapter is not None, bool(options.trainable), options.checkpoint_id is not None]
    if sum(parts) != 1 or (options.base_model is not None) == parts[2]:
        raise InvalidRequest(
            "Which checkpoint?",
            hint="Give --base-model with --adapter (or, for a plain model, --trainable), or --checkpoint-id.",
        )
    if (options.data is None) == (options.dataset_id is None):
        raise InvalidRequest("Which rows?", hint="Give --data, or --dataset-id.")


def send_checkpoint(service: Service, options: BuildOptions, output: Output) -> str:
    """Upload the adapter, or name the modules of a plain model; answers the checkpoint's id."""
    form = given({"base_model": options.base_model, "task": options.task, "revision": options.revision})
    made = _send_adapter(service, options, form, output) if options.adapter else _name_modules(service, options, form)
    size = "" if made["parameters"] is None else f"{count(made['parameters'])} parameters, "
    output.note(f"Checkpoint  {plain(made['id'])}: {size}{plain(made['task'])}")
    return str(made["id"])


def _name_modules(service: Service, options: BuildOptions, fields: Json) -> Json:
    names = {} if options.label_names is None else {"label_names": options.label_names}
    return service.post("/v1/checkpoints", {**fields, **names, "trainable": options.trainable})


def _send_adapter(service: Service, options: BuildOptions, form: dict[str, str], output: Output) -> Json:
    assert options.adapter is not None
    if options.label_names is not None:
        form["label_names"] = json.dumps(options.label_names)
    with open_adapter(options.adapter) as archive, output.busy(f"Sending {options.adapter}"):
        return service.send(
            "POST", "/v1/checkpoints", data=form, files={"adapter": ("adapter.zip", archive, "application/zip")}
        )


def send_dataset(service: Service, options: BuildOptions, output: Output) -> str:
    """Upload the rows; answers the data set's id."""
    assert options.data is not None
    with open_file(options.data, "data file") as stream:
        return send_rows(
            service, stream, options.data.name, output, columns=options.columns, label_names=options.label_names
        )


def send_rows(
    service: Service,
    stream: IO[bytes],
    name: str,
    output: Output,
    *,
    columns: Json | None = None,
    label_names: list[str] | None = None,
) -> str:
    """Upload rows from a stream, under a file's name; answers the data set's id."""
    form = {"name": name}
    if columns is not None:
        form["columns"] = json.dumps(columns)
    if label_names is not None:
        form["label_names"] = json.dumps(label_names)
    with output.busy(f"Sending {name}"):
        upload = {"file": (name, stream, "application/octet-stream")}
        made = service.send("POST", "/v1/datasets", data=form, files=upload)
    output.note(f"Data set    {plain(made['id'])}: {count(made['rows'])} rows, {plain(made['kind'])}")
    for problem in made.get("problems", []):
        output.note(f"            note: {plain(problem['message'], 200)}")
    return str(made["id"])


def watch(service: Service, job_id: str, output: Output) -> Job:
    """Show a job's progress until it is final. Ctrl-C leaves the job running."""
    try:
        with JobBar(output.notices) as bar:
            for job in follow_job(service, job_id):
                bar.show(job)
    except KeyboardInterrupt:
        output.note(f"The job goes on. Watch it: datainf status {job_id}   End it: datainf cancel {job_id}")
        raise
    return job


def show_index(index: Index, output: Output) -> None:
    """Print an index's figures and what to do next."""
    if index.state != "succeeded":
        output.say(f"The build goes on: datainf status {plain(index.job_id)}")
        return
    seconds = sum(value for name, value in (index.timings or {}).items() if name.endswith("_seconds"))
    rows = index.rows_indexed if index.rows_indexed is not None else index.rows
    size = (
        "" if index.bytes is None else f", {bytes_text(index.bytes)} ({bytes_text(index.bytes / max(rows, 1))} a row)"
    )
    output.say(f"Ready: {plain(index.id)}: {count(rows)} rows, {len(index.blocks)} blocks{size}, {index.spec.storage}")
    if seconds:
        output.note(f"Work took {duration_text(seconds)}.")
    if index.growth is not None:
        output.note(f"Grown from {plain(index.growth.grown_from)}: {growth_text(index.growth)}")
    for warning in index.warnings:
        output.note(f"Warning: {plain(warning, 300)}")
    output.note(f"Ask it: datainf query {plain(index.id)} --text '...' --label NAME")


def growth_text(growth: Growth) -> str:
    """How an index relates to the one it was grown from."""
    rows = (
        f"{count(growth.rows_reused)} rows kept, {count(growth.rows_computed)} computed,"
        f" {count(growth.rows_removed)} left."
    )
    return rows if growth.basis_age is None else f"{rows} {growth.basis_age:.0%} of the rows are newer than the basis."

"""`datainf build`: send what was trained and its rows, start the index, watch it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from cli.client.files import open_adapter, open_file
from cli.client.job_events import read_finished
from cli.client.uploads import send_rows
from cli.commands.base import client_command
from cli.commands.build_run import build_run, send_run
from cli.options.fields import Spelling, check_body, options_of
from cli.options.parsing import given, parse_names, parse_object
from cli.options.shared import DataFile, DatasetId, Wait
from cli.printing.output import Output
from cli.printing.text import bytes_text, count, duration_text, plain
from datainf_client import Client
from influence.contracts.checkpoint import CheckpointRequest
from influence.contracts.common import Json
from influence.contracts.dataset import DatasetRequest
from influence.contracts.index import Growth, Index, IndexRequest
from influence.errors import InvalidRequest

_CHECKPOINT = options_of(
    CheckpointRequest,
    leave_out=("adapter", "adapter_revision", "name"),
    spelled={
        "trainable": Spelling(items=str, help="May be given again."),
        "label_names": Spelling(read=parse_names, help="Write a,b,c or a JSON list."),
    },
)
_COLUMNS = options_of(DatasetRequest, only=("columns",), spelled={"columns": Spelling(read=parse_object)})
_INDEX = options_of(
    IndexRequest,
    leave_out=("checkpoint_id", "run_id", "dataset_id"),
    within="index",
    spelled={"diffusion": Spelling(read=parse_object, help='Write JSON: {"timesteps": 20}.')},
)


@dataclass(frozen=True)
class BuildOptions:
    """What to send. Checkpoint and data set are either uploaded or named by their ids."""

    base_model: str | None = None
    adapter: Path | None = None
    run: Path | None = None
    trainable: list[str] | None = None
    checkpoint_id: str | None = None
    data: Path | None = None
    dataset_id: str | None = None
    task: str | None = None
    revision: str | None = None
    columns: Json | None = None
    label_names: list[str] | None = None
    lora_alpha: float | None = None
    index: Json = field(default_factory=dict)


@client_command(_CHECKPOINT, _COLUMNS, _INDEX)
def build_command(
    service: Client,
    output: Output,
    settings: Json,
    *,
    adapter: Annotated[
        Path | None, typer.Option(help="PEFT adapter: its folder, or a zip of it; a LoRA file of an image model.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Instead of one adapter, a trainer's folder with checkpoint-*, or a zip of it.")
    ] = None,
    checkpoint_id: Annotated[str | None, typer.Option(help="Instead of --base-model and what goes with it.")] = None,
    data: DataFile = None,
    dataset_id: DatasetId = None,
    wait: Wait = True,
) -> None:
    """Send an adapter (or name what was trained of a plain model) and its training rows, and build the index."""
    options = BuildOptions(
        adapter=adapter, run=run, checkpoint_id=checkpoint_id, data=data, dataset_id=dataset_id, **settings
    )
    index = build(service, options, output, wait=wait)
    output.show(index, lambda: show_index(Index.model_validate(index), output))


def build(service: Client, options: BuildOptions, output: Output, *, wait: bool) -> Json:
    """The index as the service tells it, ready when waited for. Raises what the service and the files have to say."""
    check_options(options)
    if options.run is not None:
        return _build_run(service, options, options.run, output, wait=wait)
    checkpoint_id = options.checkpoint_id or send_checkpoint(service, options, output)
    dataset_id = options.dataset_id or send_dataset(service, options, output)
    body = {"checkpoint_id": checkpoint_id, "dataset_id": dataset_id, **options.index}
    made = service.http.submit("/v1/indexes", body)
    index = Index.model_validate(made)
    if index.state == "succeeded":
        output.note(f"Index       {plain(index.id)} was built before")
        return made
    output.note(f"Index       {plain(index.id)} (job {plain(index.job_id)})")
    if not wait:
        return made
    note_readiness(service, output)
    return read_finished(service, index.job_id, index.id, output)


def _build_run(service: Client, options: BuildOptions, folder: Path, output: Output, *, wait: bool) -> Json:
    form = given({"base_model": options.base_model, "task": options.task, "revision": options.revision})
    run = send_run(service, folder, form, options.label_names, output)
    dataset_id = options.dataset_id or send_dataset(service, options, output)
    if wait:
        note_readiness(service, output)
    return build_run(service, run, {"dataset_id": dataset_id, **options.index}, output, wait=wait)


def note_readiness(service: Client, output: Output) -> None:
    """Say what the service remarks on its state, such as that no worker runs."""
    for note in service.readiness().get("notes", []):
        output.note(f"Note: {plain(note, 200)}")


def check_options(options: BuildOptions) -> None:
    """Raise InvalidRequest, before anything is sent, for what is named twice or not at all or does not fit."""
    uploaded = [options.adapter is not None, options.run is not None, bool(options.trainable)]
    is_named = options.checkpoint_id is not None
    if sum(uploaded) + is_named != 1 or (options.base_model is not None) == is_named:
        raise InvalidRequest(
            "Name exactly one checkpoint.",
            hint="Give --base-model with --adapter (or --run, or, for a plain model, --trainable), or --checkpoint-id.",
        )
    if (options.data is None) == (options.dataset_id is None):
        raise InvalidRequest("Name exactly one source of rows.", hint="Give --data, or --dataset-id.")
    source = {"checkpoint_id": "ckpt_"} if options.run is None else {"run_id": "run_"}
    check_body(IndexRequest, {**source, "dataset_id": "ds_", **options.index}, "build")


def send_checkpoint(service: Client, options: BuildOptions, output: Output) -> str:
    """Upload the adapter, or name the modules of a plain model; answers the checkpoint's id."""
    form = given({"base_model": options.base_model, "task": options.task, "revision": options.revision})
    made = _send_adapter(service, options, form, output) if options.adapter else _name_modules(service, options, form)
    size = "" if made["parameters"] is None else f"{count(made['parameters'])} parameters, "
    output.note(f"Checkpoint  {plain(made['id'])}: {size}{plain(made['task'])}")
    for warning in made.get("warnings", []):
        output.note(f"Warning: {plain(warning, 300)}")
    return str(made["id"])


def _name_modules(service: Client, options: BuildOptions, fields: Json) -> Json:
    names = {} if options.label_names is None else {"label_names": options.label_names}
    return service.http.submit("/v1/checkpoints", {**fields, **names, "trainable": options.trainable})


def _send_adapter(service: Client, options: BuildOptions, form: dict[str, str], output: Output) -> Json:
    assert options.adapter is not None
    if options.label_names is not None:
        form["label_names"] = json.dumps(options.label_names)
    if options.lora_alpha is not None:
        form["lora_alpha"] = str(options.lora_alpha)
    with open_adapter(options.adapter) as archive, output.busy(f"Sending {options.adapter}"):
        return service.http.submit(
            "/v1/checkpoints", data=form, files={"adapter": ("adapter.zip", archive, "application/zip")}
        )


def send_dataset(service: Client, options: BuildOptions, output: Output) -> str:
    """Upload the rows; answers the data set's id."""
    assert options.data is not None
    with open_file(options.data, "data file") as stream:
        return send_rows(
            service, stream, options.data.name, output, columns=options.columns, label_names=options.label_names
        )


def show_index(index: Index, output: Output) -> None:
    """Print an index's figures and what to do next."""
    if index.state != "succeeded":
        output.say(f"The build goes on: datainf status {plain(index.job_id)}")
        return
    seconds = sum(value for name, value in (index.timings or {}).items() if name.endswith("_seconds"))
    rows = index.rows_indexed if index.rows_indexed is not None else index.rows
    size = (
        "" if index.bytes is None else f", {bytes_text(index.bytes)} ({bytes_text(index.bytes / max(rows, 1))} per row)"
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

"""`datainf build --run`: every checkpoint of a run, an index of each."""

import json
from collections.abc import Sequence
from pathlib import Path

from cli.client.files import open_run
from cli.client.job_events import read_finished
from cli.printing.output import Output
from cli.printing.text import plain
from datainf_client import Client
from influence.contracts.checkpoint import Run
from influence.contracts.common import Json
from influence.contracts.index import Index


def send_run(service: Client, folder: Path, form: dict[str, str], label_names: list[str] | None, output: Output) -> Run:
    """Upload the checkpoints of a trainer's folder. Raises what the service and the files have to say."""
    names = {} if label_names is None else {"label_names": json.dumps(label_names)}
    with open_run(folder) as archive, output.busy(f"Sending {folder}"):
        made = service.http.submit(
            "/v1/runs", data={**form, **names}, files={"run": ("run.zip", archive, "application/zip")}
        )
    run = Run.model_validate(made)
    output.note(f"Run         {plain(run.id)}: {len(run.checkpoints)} checkpoints, {plain(run.task)}")
    for one in run.checkpoints:
        output.note(f"  step {one.step:<8} {plain(one.checkpoint_id)} weight {one.weight:.3g}")
    for warning in run.warnings:
        output.note(f"Warning: {plain(warning, 300)}")
    return run


def build_run(service: Client, run: Run, body: Json, output: Output, *, wait: bool) -> Json:
    """An index of each checkpoint; answers the last one's, which stands for the run in queries with its id. With
    `join` in the body one index of all of them."""
    ready: list[tuple[int, Index]] = []
    made = service.http.submit("/v1/indexes", {"run_id": run.id, **body})
    if body.get("join"):
        return _await_joined(service, Index.model_validate(made), made, output, wait=wait)
    for one in run.checkpoints:
        if one.weight > 0:
            # The index is there by now: asking again tells its job.
            made = service.http.submit("/v1/indexes", {"checkpoint_id": one.checkpoint_id, **body})
            index = Index.model_validate(made)
            output.note(f"Index       {plain(index.id)} of step {one.step}")
            if wait and index.state != "succeeded":
                made = read_finished(service, index.job_id, index.id, output)
            ready.append((one.step, Index.model_validate(made)))
    note_most_telling(ready, output)
    output.note(f"Sum over the run: datainf query {plain(made['id'])} --run-id {plain(run.id)} ...")
    return made


def _await_joined(service: Client, index: Index, made: Json, output: Output, *, wait: bool) -> Json:
    steps = ", ".join(str(one.step) for one in index.spec.joined)
    output.note(f"Index       {plain(index.id)} of steps {steps} in one code")
    if not wait or index.state == "succeeded":
        return made
    return read_finished(service, index.job_id, index.id, output)


def note_most_telling(indexes: Sequence[tuple[int, Index]], output: Output) -> None:
    """Which checkpoint to ask where one has to do: said where all of several indexes are ready and measured it."""
    means = [(one.gradient_lengths.mean, -step, one.id) for step, one in indexes if one.gradient_lengths is not None]
    if len(means) == len(indexes) > 1:
        _, step, index_id = max(means)
        output.note(f"Longest gradients at step {-step}: of one checkpoint ask {plain(index_id)}.")

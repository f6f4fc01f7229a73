"""Runs: every checkpoint of a trainer's folder, by address, and one record that says how much each counts."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.checkpoints.accept import archive_limits, in_namespace, keep_checkpoint, makes_images, with_doubts
from app.checks.base_model import look_at_hub, resolve_base_model
from app.http.context import Context
from app.http.idempotency import Accepted
from app.intake.adapters import accept_adapter
from app.intake.archives import extract_files
from influence.checkpoint_files.adapters.folders import list_files
from influence.checkpoint_files.adapters.notes.plain_notes import STATE_FILE
from influence.checkpoint_files.adapters.run_weights import find_weight_doubts, read_rates, weigh
from influence.checkpoint_files.adapters.runs import (
    MAX_STATE_BYTES,
    choose_run,
    find_steps,
    share_files,
)
from influence.contracts.checkpoint import BaseModelRef, Checkpoint, Run, RunCheckpoint, RunRequest
from influence.contracts.common import now
from influence.contracts.tasks import TaskName
from influence.digests import digest_json
from influence.errors import (
    AdapterConfigRefused,
    CheckpointRefused,
    InvalidRequest,
    PathNotAllowed,
    TooLarge,
    UploadRefused,
)

_EQUAL = (
    "No learning rates were found (trainer_state.json, log_history), so that all checkpoints weigh the same: where the "
    "rate changed between them, the sum is not what training did."
)
#: Makes a folder of checkpoints by step, and says in which folder of the upload each was.
Fetch = Callable[[Path], Mapping[int, str]]


def accept_run_upload(
    context: Context,
    archive: Path,
    *,
    base_model: str,
    revision: str | None,
    task: TaskName | None,
    label_names: Sequence[str] | None,
) -> Accepted:
    """A zip of a trainer's folder. Raises UploadRefused, CheckpointRefused, RequestRefused."""

    def fetch(destination: Path) -> Mapping[int, str]:
        names: list[str] = []

        def choose(found: Sequence[str]) -> dict[str, str]:
            names[:] = found
            _make_folders(destination, find_steps(found))
            return choose_run(found)

        extract_files(archive, destination, choose, archive_limits(context))
        return _share(destination, names)

    return _accept(context, fetch, base_model, revision, task, label_names)


def accept_run_folder(context: Context, request: RunRequest) -> Accepted:
    """A folder under the allowed roots. Raises UploadRefused, CheckpointRefused, RequestRefused."""
    source = context.base_models.allowed_folder(request.folder)
    roots = [root.resolve() for root in context.settings.allowed_roots]

    def fetch(destination: Path) -> Mapping[int, str]:
        names = list(list_files(source))
        _make_folders(destination, find_steps(names))
        for path, name in choose_run(names).items():
            file = (source / path).resolve()
            if not any(file.is_relative_to(root) for root in roots):
                raise PathNotAllowed(f"{path} leads out of the allowed roots.")
            if file.stat().st_size > context.settings.max_adapter_bytes:
                raise TooLarge(f"{path} has more than {context.settings.max_adapter_bytes} bytes.")
            shutil.copyfile(file, destination / name)
        return _share(destination, names)

    return _accept(context, fetch, request.base_model, request.revision, request.task, request.label_names)


def _make_folders(destination: Path, steps: Mapping[int, str]) -> None:
    for step in steps:
        (destination / str(step)).mkdir()


def _share(destination: Path, names: Sequence[str]) -> Mapping[int, str]:
    """Files that several checkpoints read with, such as a tokenizer beside them, beside each of these."""
    for written, others in share_files(names).items():
        for other in others:
            shutil.copyfile(destination / written, destination / other)
    return find_steps(names)


def _accept(
    context: Context,
    fetch: Fetch,
    base_model: str,
    revision: str | None,
    task: TaskName | None,
    label_names: Sequence[str] | None,
) -> Accepted:
    base = resolve_base_model(context, base_model, revision)
    if makes_images(base):
        raise InvalidRequest(
            "Runs of image pipelines are not read.",
            hint="Send each checkpoint's LoRA to /v1/checkpoints, and name their indexes with weights of your own in a "
            "query's 'checkpoints'.",
            extra={"field": "base_model"},
        )
    doubts, hub_config = look_at_hub(context, base)
    with context.files.scratch() as scratch:
        steps = fetch(scratch)
        rates = read_rates(_read_state(scratch / str(step)) for step in steps)
        accepted = {
            step: _accept_step(folder, scratch / str(step), base, task, label_names, hub_config)
            for step, folder in steps.items()
        }
        checkpoints = {step: in_namespace(context, with_doubts(found, doubts)) for step, found in accepted.items()}
        for step, checkpoint in checkpoints.items():
            keep_checkpoint(context, scratch / str(step), checkpoint)
    doubts_of_weights = tuple(find_weight_doubts(list(steps), rates))
    run = _make_run(checkpoints, steps, weigh(list(steps), rates), doubts_of_weights)
    return Accepted(run.id, is_new=context.store.runs.create(run))


def _accept_step(
    name: str,
    folder: Path,
    base: BaseModelRef,
    task: TaskName | None,
    label_names: Sequence[str] | None,
    hub_config: Mapping[str, Any] | None,
) -> Checkpoint:
    """One of the run's checkpoints, which a refusal calls by the name of its folder."""
    try:
        return accept_adapter(folder, base, task=task, label_names=label_names, hub_config=hub_config)
    except (CheckpointRefused, UploadRefused) as error:
        raise type(error)(
            f"{name}: {error.detail}",
            hint=f"{error.hint} A run can be sent without the checkpoints that were not written to their end.",
            extra={**error.extra, "folder": name},
        ) from error


def _read_state(folder: Path) -> bytes:
    """The trainer's log beside a checkpoint; nothing where there is none."""
    file = folder / STATE_FILE
    return file.read_bytes() if file.is_file() and file.stat().st_size <= MAX_STATE_BYTES else b""


def _make_run(
    checkpoints: Mapping[int, Checkpoint],
    folders: Mapping[int, str],
    weights: list[float] | None,
    doubts: tuple[str, ...],
) -> Run:
    """The record, with what is in doubt of the weights. Checkpoints with the same content are one, with the sum of
    their weights."""
    summed: dict[str, float] = {}
    last: dict[str, int] = {}
    for (step, checkpoint), weight in zip(checkpoints.items(), weights or [1.0] * len(checkpoints), strict=True):
        summed[checkpoint.id] = summed.get(checkpoint.id, 0.0) + weight
        last[checkpoint.id] = step
    if not any(summed.values()):
        raise AdapterConfigRefused(
            "The trainer's log says that the learning rate was 0 throughout: nothing was learnt.",
            hint="Leave trainer_state.json out to weigh all checkpoints the same.",
        )
    parts = tuple(
        RunCheckpoint(checkpoint_id=found, folder=folders[step], step=step, weight=summed[found])
        for found, step in last.items()
    )
    first = next(iter(checkpoints.values()))
    warnings = tuple(dict.fromkeys(doubt for one in checkpoints.values() for doubt in one.warnings))
    return Run(
        id=f"run_{digest_json([[one.checkpoint_id, one.step, one.weight] for one in parts])}",
        base_model=first.base_model,
        task=first.task,
        checkpoints=parts,
        weights_from="equal" if weights is None else "learning_rate",
        warnings=(*warnings, *doubts, *([_EQUAL] if weights is None else ())),
        created_at=now(),
    )

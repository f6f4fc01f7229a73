"""A plain model whose own weights were trained -> an accepted checkpoint. Only configuration and headers are read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.intake.adapters import identify
from influence.checkpoint_files.adapters.former_names import LayerNames
from influence.checkpoint_files.adapters.trained_on import find_position_doubts, find_router_doubts
from influence.checkpoint_files.base_files import BaseFiles
from influence.checkpoint_files.multimodal import refuse_inexact
from influence.checkpoint_files.safetensors_header import TensorInfo
from influence.checkpoint_files.task.find import find_plain_task
from influence.checkpoint_files.task.head import choose_label_names, count_labels
from influence.checkpoint_files.task.processor import check_processor
from influence.checkpoint_files.task.trained_as import Recipe, read_recipe
from influence.checkpoint_files.tensors import AdapterTensors
from influence.checkpoint_files.trainable import match_tensors, normalise_patterns
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.contracts.tasks import TASKS, TaskName, listed_tasks
from influence.digests import digest_json
from influence.errors import TaskMismatch


def accept_plain(
    model: BaseModelRef,
    trainable: Sequence[str],
    *,
    task: TaskName | None = None,
    label_names: Sequence[str] | None = None,
    hub_config: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Say what the model is and which of its weights gradients are taken of; its id follows from contents alone.

    A model on the hub is checked by the worker that loads it, but for what its configuration says, `hub_config`. Raises
    InvalidRequest, NothingTrainable, TaskMismatch, UnreadableFile.
    """
    patterns = normalise_patterns(trainable)
    files = BaseFiles(Path(model.location)) if model.kind == "path" else None
    tensors = files.tensors() if files else {}
    meant = match_tensors(patterns, tensors, LayerNames.of(files.config)) if files else {}
    recipe = read_recipe(files.folder) if files else Recipe(None, None)
    found_task = _find_task(recipe.settle_task(task), files, tensors)
    if files and TASKS[found_task].reads == "image":
        check_processor(files.folder, None)
    if TASKS[found_task].has_reference:
        raise TaskMismatch(
            f"The loss of task '{found_task}' compares with the model before training, and a plain model's files hold "
            "only what it became.",
            hint="Send the adapter that was trained, with its base model.",
        )
    said: Mapping[str, Any] = files.config if files else hub_config or {}
    refuse_inexact(said, found_task)
    num_labels = count_labels(found_task, AdapterTensors(), {name: info.shape for name, info in tensors.items()})
    config: Mapping[str, Any] = files.config if files else {}
    names = choose_label_names(found_task, num_labels, label_names, config)
    identity = {"trainable": patterns, **identify(model, found_task, names, recipe)}
    return Checkpoint(
        id=f"ckpt_{digest_json(identity)}",
        base_model=model,
        task=found_task,
        trainable=patterns,
        label_names=names,
        num_labels=num_labels,
        parameters=sum(info.elements for info in meant.values()) if files else None,
        tensors=len(meant) if files else None,
        training=recipe.describe(),
        warnings=(
            *(files.find_doubts() if files else ()),
            *find_router_doubts(said),
            *find_position_doubts(said),
            *recipe.find_doubts(found_task),
        ),
        created_at=now(),
    )


def _find_task(asked: TaskName | None, files: BaseFiles | None, tensors: Mapping[str, TensorInfo]) -> TaskName:
    if files is not None:
        return find_plain_task(asked, files.config, {name: info.shape for name, info in tensors.items()})
    if asked is None:
        raise TaskMismatch(
            "Only the worker reads the model's files on the hub, and the task has to be known before.",
            hint=f"Send 'task': {listed_tasks()}.",
        )
    return asked

"""The model of a comparison of classes before its fine-tuning: a base under a fresh adapter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from influence.checkpoint_files.config import AdapterConfig
from influence.contracts.common import LossScope
from influence.contracts.evaluation.experiment import ClassAttributionRequest
from influence.contracts.evaluation.record import Subject
from influence.contracts.tasks import TASKS
from workers.evaluating.models.small_lm import SmallModel, make_small_lm
from workers.evaluating.models.untrained import adapter_fields, load_base
from workers.loading.adapter import wrap_base
from workers.loading.alone import made_alone
from workers.loading.base_model import BaseModel
from workers.rows import Row
from workers.runtime.state import Runtime
from workers.tasks.base import Task


@dataclass(frozen=True, slots=True)
class FreshModel:
    """Only the adapter's tensors of `model` require a gradient; `base_loss` is that of a base made here."""

    model: torch.nn.Module
    task: Task
    base_loss: float | None


def make_fresh_model(
    runtime: Runtime,
    request: ClassAttributionRequest,
    subject: Subject,
    rows: Sequence[Row],
    *,
    size: SmallModel,
    seed: int,
    watch: Callable[[int, int], None],
) -> FreshModel:
    """The named base model, or a small one made from the rows. Raises CheckpointRefused."""
    if subject.base_model is not None:
        scope: LossScope | None = None if TASKS[subject.task].is_pipeline else "completion"
        loaded = load_base(runtime, request, subject, request.lora, loss=scope, seed=seed)
        return FreshModel(loaded.model, loaded.task, None)
    small, task, loss = make_small_lm(
        rows,
        size,
        seed=seed,
        max_length=request.max_length,
        device=runtime.device,
        lock=runtime.device_lock,
        watch=watch,
    )
    config = AdapterConfig.model_validate(adapter_fields(request.lora, "llama", subject.task))
    with made_alone(seed):
        model = wrap_base(BaseModel(small, frozenset()), config, subject.task, dropout=request.recipe.lora_dropout)
    return FreshModel(model.to(runtime.device), task.reduced_by(request.reduction), loss)

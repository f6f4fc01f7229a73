"""The causal model of an experiment before its fine-tuning: a base under a fresh adapter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from transformers import AutoConfig

from influence.adapters.config import AdapterConfig
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import Json, now
from influence.contracts.evaluation import ClassAttributionRequest, LoraShape
from influence.contracts.index import GradientSettings
from influence.errors import UnsupportedModule
from workers.evaluating.small_lm import SmallModel, make_small_lm
from workers.loading.adapter import wrap_base
from workers.loading.base_model import BaseModel
from workers.loading.checkpoint import locate_base_model, make_untrained
from workers.rows import Row
from workers.runtime import Runtime
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
    base: BaseModelRef | None,
    rows: Sequence[Row],
    *,
    size: SmallModel,
    seed: int,
    watch: Callable[[int, int], None],
) -> FreshModel:
    """The named base model, or a small one made from the rows. Raises CheckpointRefused."""
    if base is not None:
        return _load(runtime, request, base, seed)
    small, task, loss = make_small_lm(
        rows, size, seed=seed, max_length=request.max_length, device=runtime.device, lock=runtime.device_lock,
        watch=watch,
    )  # fmt: skip
    config = AdapterConfig.model_validate(adapter_fields(request.lora, "llama"))
    torch.manual_seed(seed)
    dropout = request.recipe.lora_dropout
    model = wrap_base(BaseModel(small, frozenset()), config, "causal_lm", dropout=dropout)
    return FreshModel(model.to(runtime.device), task, loss)


def _load(runtime: Runtime, request: ClassAttributionRequest, base: BaseModelRef, seed: int) -> FreshModel:
    offline, cache_dir = runtime.settings.hub_offline, runtime.files.hub
    folder = locate_base_model(base, cache_dir=cache_dir, offline=offline)
    kind: Any = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    checkpoint = Checkpoint(
        id="ckpt_untrained", base_model=base, task="causal_lm", adapter=adapter_fields(request.lora, kind.model_type),
        adapter_digest="", parameters=0, tensors=0, created_at=now(),
    )  # fmt: skip
    loaded = make_untrained(
        checkpoint, device=runtime.device, settings=GradientSettings(max_length=request.max_length, loss="completion"),
        offline=offline, cache_dir=cache_dir, seed=seed, dropout=request.recipe.lora_dropout,
    )  # fmt: skip
    return FreshModel(loaded.model, loaded.task, None)


def adapter_fields(lora: LoraShape, model_type: str) -> Json:
    """An adapter's configuration; without target modules PEFT's choice for the architecture.

    Raises UnsupportedModule where PEFT has none.
    """
    targets = lora.target_modules or TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(model_type)
    if targets is None:
        raise UnsupportedModule(
            f"PEFT has no usual target modules for models of type '{model_type}'.",
            hint="Name them in 'lora': {\"target_modules\": [...]}.",
        )
    return {"peft_type": "LORA", "r": lora.r, "lora_alpha": lora.lora_alpha, "target_modules": sorted(targets)}

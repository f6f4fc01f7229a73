"""Adapters as PEFT saves them, what PEFT itself computes with them, and what this service does."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from app.intake.adapters import accept_adapter
from influence.checkpoint_files.base_models import BaseModels
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import GradientSettings
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint
from workers.loading.options import LoadOptions

IDS = torch.tensor([[1, 7, 8, 9, 2], [1, 20, 21, 22, 2]])


def make_adapter(base: Path, folder: Path, *, prepare: Callable[[Any], None] | None = None, **lora: Any) -> Any:
    """Save a shaken adapter on a language model's folder as PEFT does, and answer the trained model.

    `prepare` changes the base model first, as a user would (a resized vocabulary, say).
    """
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(base)
    if prepare is not None:
        prepare(model)
    with warnings.catch_warnings():
        # PEFT looks for patterns of ranks among modules only, and warns of those that fit parameters.
        warnings.simplefilter("ignore")
        adapted = get_peft_model(model, LoraConfig(**{"task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, **lora}))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted.save_pretrained(folder)
    return adapted.eval()


def logits_of_peft(base: Path, adapter: Path, *, prepare: Callable[[Any], None] | None = None) -> torch.Tensor:
    """What a user gets who loads the adapter with PEFT (B, T, V)."""
    model = AutoModelForCausalLM.from_pretrained(base)
    if prepare is not None:
        prepare(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = PeftModel.from_pretrained(model, adapter).eval()
    found: torch.Tensor = loaded(input_ids=IDS).logits
    return found


def accept(base: Path, adapter: Path, **fields: Any) -> Checkpoint:
    """What `POST /v1/checkpoints` makes of the two folders."""
    return accept_adapter(adapter, BaseModels(aliases={}, allowed_roots=[base.parent]).resolve(str(base)), **fields)


def load_accepted(checkpoint: Checkpoint, adapter: Path, **settings: Any) -> LoadedCheckpoint:
    """What a worker makes of an accepted checkpoint."""
    return load_checkpoint(
        checkpoint,
        adapter,
        GradientSettings(**settings),
        LoadOptions(cache_dir=adapter),
    )

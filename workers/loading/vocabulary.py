"""A base model with as many tokens as its adapter was trained with, as trainers resize it."""

from typing import Any

import torch

from workers.loading.base_model import BaseModel


def resize_vocabulary(base: BaseModel, entries: int | None) -> BaseModel:
    """The base with `entries` embeddings, in place; embeddings with entries that no file holds count as random.

    Entries are cut off at the end or added there. Nothing is done where the number is right, or None.
    """
    model: Any = base.model
    own = len(model.get_input_embeddings().weight)
    if entries is None or entries == own:
        return base
    model.resize_token_embeddings(entries, mean_resizing=True)
    added = _embedding_names(model) if entries > own else []
    return BaseModel(model, base.random | {f"{name}.weight" for name in added})


def are_tied(model: Any) -> bool:
    """Whether the model's embeddings are one tensor in two places."""
    # A model without embeddings outwards may have none inwards, such as a convolution of images.
    outwards = model.get_output_embeddings()
    return outwards is not None and outwards.weight is model.get_input_embeddings().weight


def _embedding_names(model: Any) -> list[str]:
    layers = [layer for layer in (model.get_input_embeddings(), model.get_output_embeddings()) if layer is not None]
    modules: list[tuple[str, torch.nn.Module]] = list(model.named_modules())
    return [name for layer in layers for name, module in modules if module is layer]

"""A plain model that was trained itself: which of its own weights gradients are taken of."""

from collections.abc import Sequence
from typing import Any

from influence.checkpoint_files.adapters.former_names import LayerNames
from workers.gradients.selection import select_trainable
from workers.loading.base_model import BaseModel, refuse_random


def open_plain(base: BaseModel, trainable: Sequence[str]) -> Any:
    """The model as its files hold it, in evaluation mode; only what the patterns name requires a gradient.

    Raises TaskMismatch where a tensor is not in the files, NothingTrainable, UnsupportedModule.
    """
    if base.random:
        raise refuse_random(
            "The model's files do not hold",
            sorted(base.random),
            "Name the folder that the trained model was saved in, or send the task that it was trained for.",
        )
    return _open(base, trainable)


def open_base(base: BaseModel, trainable: Sequence[str]) -> Any:
    """A base model that is to be trained itself; what its files do not hold, a fresh head, is trained along.

    Raises NothingTrainable, UnsupportedModule.
    """
    made_anew = (name for name, _ in base.model.named_parameters() if name in base.random)
    return _open(base, (*trainable, *made_anew))


def _open(base: BaseModel, trainable: Sequence[str]) -> Any:
    select_trainable(base.model, trainable, LayerNames(base.model.config.model_type))
    base.model.eval()
    return base.model

"""Passes of a model forwards and backwards, and what it means where one cannot be made: files that contradict each
other, pixels that do not fit, operations without a derivative."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
import torch
from torch import Tensor

from influence.errors import TaskMismatch, UnsupportedModule
from workers.gradients.trainable import TrainableTensor

log = structlog.get_logger(__name__)

#: How autograd says that an operation has no derivative, or none that can be asked for in this way.
_NO_DERIVATIVE = ("not implemented", "checkpoint")
#: What Python and torch raise where shapes, types or names of a model do not fit each other.
_OF_MODELS = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError)
#: In messages of devices, whose failures others look after.
_OF_DEVICES = ("CUDA", "cuDNN", "CUBLAS")
_HINT = (
    "Compute one row with transformers or diffusers themselves. Where that fails, too, the files of the base model "
    "contradict each other: save it again with save_pretrained. Where it does not, the worker's log says more."
)
#: How PyTorch's CPU allocator says that memory is out; it has no exception class of its own.
_CPU_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")


def differentiate(loss: Tensor, inputs: Sequence[Any], tensors: Sequence[TrainableTensor]) -> Sequence[Tensor | None]:
    """Gradients of a loss () with respect to tensors or graph edges, None where it does not depend on one.

    Raises UnsupportedModule, naming the first of the blocks it was for, when there is no derivative.
    """
    try:
        return torch.autograd.grad(loss, inputs, allow_unused=True)
    except RuntimeError as error:
        if not isinstance(error, NotImplementedError) and not any(words in str(error) for words in _NO_DERIVATIVE):
            raise
        module = tensors[0].uses[0].module
        raise UnsupportedModule(
            f"No gradient can be taken of '{tensors[0].block}' ({type(module).__name__}): {error}",
            hint="Freeze what lies below what cannot be differentiated; do not use re-entrant checkpointing.",
        ) from error


@contextmanager
def failing_by_name(who: str = "The model cannot compute these rows", hint: str = _HINT) -> Iterator[None]:
    """Raise TaskMismatch in the place of what `who`, the beginning of a sentence, raises as long as this lasts.

    What is out of memory, and what a device says that stopped answering, passes.
    """
    try:
        yield
    except _OF_MODELS as error:
        if is_out_of_memory(error) or isinstance(error, torch.AcceleratorError):
            raise
        if any(word in str(error) for word in _OF_DEVICES):
            raise
        log.warning("a model failed", who=who, exc_info=True)
        line = (str(error).strip().splitlines() or [""])[0][:200]
        raise TaskMismatch(f"{who}: {type(error).__name__}: {line}", hint=hint) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's or the host's memory is out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_OUT_OF_MEMORY)

"""Models are made one at a time in a process, and their random weights depend on a seed alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TURN = threading.RLock()


@contextmanager
def made_alone(seed: int | None = None) -> Iterator[None]:
    """Make a model while no other thread makes one; with a seed, its random weights are drawn from that.

    While transformers reads a model, no model of the process is tied or initialised: it swaps those methods of the
    class, and two readers that overlap put them back in the wrong order, so that no later model has its head tied to
    its embedding. Generators and the default type belong to the whole process, too.
    """
    with _TURN:
        if seed is not None:
            torch.manual_seed(seed)
        yield

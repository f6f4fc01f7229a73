"""The random numbers of one training, whatever else the process draws meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Randomness:
    """A state of torch's generators that is put in place for one step at a time and taken out again.

    The generators belong to the whole process: a query that loads a model between two steps draws from them, too.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        with self._forked():
            torch.manual_seed(seed)
            self._states = self._read()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Draw from this training's own numbers until the block ends."""
        with self._forked():
            torch.set_rng_state(self._states[0])
            if self._device.type == "cuda":
                torch.cuda.set_rng_state(self._states[1], self._device)
            yield
            self._states = self._read()

    @contextmanager
    def _forked(self) -> Iterator[None]:
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            yield

    def _read(self) -> list[torch.Tensor]:
        states = [torch.get_rng_state()]
        return [*states, torch.cuda.get_rng_state(self._device)] if self._device.type == "cuda" else states

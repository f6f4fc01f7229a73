"""Hot checkpoints: loaded once, kept while used, the least recently used leaves first."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
import torch
from torch import Tensor

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import GradientSettings
from influence.process.lru import Lru
from workers.gradients.collector import Collector, GradientCollector, RowGradients
from workers.gradients.joined import JoinedCollector, find_difference
from workers.loading.checkpoint import load_checkpoint
from workers.loading.options import LoadOptions
from workers.rows import EncodedRow
from workers.runtime.sharing.gathering import Gathering
from workers.tasks.base import OfHead, Task

log = structlog.get_logger()


@dataclass(frozen=True)
class Passes:
    """Passes over a model that queries share: gradients, losses of the base alone, and what the head gives."""

    gradients: Gathering[Sequence[EncodedRow], RowGradients] = field(default_factory=Gathering)
    base_losses: Gathering[Sequence[EncodedRow], Tensor] = field(default_factory=Gathering)
    outputs: Gathering[Sequence[EncodedRow], Tensor] = field(default_factory=Gathering)


@dataclass(frozen=True)
class HotModel:
    """A loaded checkpoint with the settings that its gradients are taken with, and the names of its classes.

    `keeps_base`: its adapter can be switched off, and what is left is the base model.
    """

    collector: Collector
    task: Task
    label_names: tuple[str, ...] | None = None
    keeps_base: bool = False
    passes: Passes = field(init=False, default_factory=Passes)

    @property
    def model(self) -> torch.nn.Module:
        return self.collector.model

    @property
    def tells_answers(self) -> bool:
        """Whether its answers to rows are read from the outputs that their losses are made of."""
        return self.rounds_alike and isinstance(self.task, OfHead)

    @property
    def rounds_alike(self) -> bool:
        """Whether what a row gives depends on the rows beside it by the rounding of float32 alone."""
        return self.collector.rounding == "float32"


class Models:
    """Checkpoints by (id, gradient settings). Loading happens once even when many ask at once.

    Transformers loads a model under a default type of the whole process: while one is loaded in a type that is not
    float32, the device lock is held, or models that other threads run meanwhile would compute in that type in places.
    """

    def __init__(
        self,
        find_adapter: Callable[[str], Path],
        options: LoadOptions,
        *,
        capacity: int,
        device_lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self._find_adapter = find_adapter
        self._options = options
        self._device_lock = device_lock or nullcontext()
        # A model that leaves makes room before the next is loaded; two loads at once would mix their default types.
        self._hot: Lru[tuple[str, str], HotModel] = Lru(capacity, reserve=1, serial=True, on_evict=self._give_back)

    def get(self, checkpoint: Checkpoint, settings: GradientSettings) -> HotModel:
        """The loaded model; raises CheckpointRefused when it cannot be trusted."""
        key = (_address(checkpoint), settings.model_dump_json())
        return self._hot.get(key, lambda: self._load_alone(checkpoint, settings))

    def get_joined(self, checkpoints: Mapping[str, Checkpoint], settings: GradientSettings) -> HotModel:
        """The model of the last of several checkpoints, by labels, which takes gradients at all of them.

        Raises CheckpointRefused, also where they are not of one shape.
        """
        key = (" ".join(map(_address, checkpoints.values())), settings.model_dump_json())
        return self._hot.get(key, lambda: self._join(checkpoints, settings))

    def _join(self, checkpoints: Mapping[str, Checkpoint], settings: GradientSettings) -> HotModel:
        *others, last = checkpoints
        hot, weights = self._load_alone(checkpoints[last], settings), {}
        assert isinstance(hot.collector, GradientCollector)
        for label in others:
            other = self._load_alone(checkpoints[label], settings).model
            weights[label] = find_difference(hot.model, other, what=f"The checkpoint '{label}'")
            del other  # before the next takes memory
        return replace(hot, collector=JoinedCollector(hot.collector, tuple(checkpoints), weights))

    def _give_back(self) -> None:
        if self._options.device.type == "cuda":
            torch.cuda.empty_cache()

    def _load_alone(self, checkpoint: Checkpoint, settings: GradientSettings) -> HotModel:
        with nullcontext() if settings.precision == "float32" else self._device_lock:
            loaded = self._load(checkpoint, settings)
        log.info("checkpoint loaded", checkpoint_id=checkpoint.id, precision=settings.precision)
        return loaded

    def _load(self, checkpoint: Checkpoint, settings: GradientSettings) -> HotModel:
        digest = checkpoint.adapter_digest
        loaded = load_checkpoint(
            checkpoint, None if digest is None else self._find_adapter(digest), settings, self._options
        )
        collector = GradientCollector(
            loaded.model,
            loaded.task.row_losses,
            include_bias=settings.include_bias,
            parts=settings.parts,
            precision=settings.precision,
            unit_copies=settings.diffusion is not None and settings.diffusion.timestep_weighting == "unit_norm",
        )
        return HotModel(collector, loaded.task, checkpoint.label_names, loaded.keeps_base)


def _address(checkpoint: Checkpoint) -> str:
    """Tells models apart: one without class names has those of the rows of the index that asks."""
    return f"{checkpoint.id} {json.dumps(checkpoint.label_names)}"

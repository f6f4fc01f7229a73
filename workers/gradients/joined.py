"""Gradients of the same rows at several checkpoints of one training run, by one model whose weights change in turns.

Checkpoints of a run differ in what was trained alone. One model is kept, and of each other checkpoint the tensors in
which it differs: a batch is taken at one after the other, and the blocks of all of them are the row's.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from influence.contracts.common import Reduction
from influence.contracts.index import Block, Precision
from influence.errors import AdapterMismatch
from workers.gradients.capture import Factors
from workers.gradients.collector import GradientCollector, RowGradients, RowLosses
from workers.gradients.tokens.positions import Directions
from workers.gradients.tokens.tangents import TokenLosses
from workers.rows import Batch

#: Tensors of a model by name, those in which a checkpoint differs from the model's own.
Weights = Mapping[str, Tensor]


class JoinedCollector:
    """A collector of all checkpoints: `own` takes gradients with the model as it is, `others` are the weights at the
    other checkpoints; both go by labels, in the order of `labels`, and a block's name begins with its checkpoint's.

    Losses are those of the model as it is. Not to be used by two threads at once, like what it is made of.
    """

    def __init__(self, own: GradientCollector, labels: tuple[str, ...], others: Mapping[str, Weights]) -> None:
        self.model = own.model
        self._own = own
        self._labels = labels
        self._others = others
        self._tensors = dict(tensors_of(own.model))
        changed = {name for weights in others.values() for name in weights}
        self._home = {name: self._tensors[name].detach().clone() for name in changed}

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The checkpoints' blocks, one checkpoint after the other."""
        return tuple(
            block.model_copy(update={"name": _join(label, block.name)})
            for label in self._labels
            for block in self._own.blocks
        )

    @property
    def rounding(self) -> Precision:
        """As `GradientCollector.rounding`."""
        return self._own.rounding

    def collect(self, batch: Batch, *, with_factors: bool = False, with_outputs: bool = False) -> RowGradients:
        """As `GradientCollector.collect`, at every checkpoint; outputs are those of the model as it is."""
        losses, outputs, blocks, factors = None, None, dict[str, Tensor](), dict[str, Factors]()
        for label in self._labels:
            is_own = label not in self._others
            with self._at(label):
                found = self._own.collect(batch, with_factors=with_factors, with_outputs=with_outputs and is_own)
            losses, outputs = (found.losses, found.outputs) if is_own else (losses, outputs)
            blocks |= {_join(label, name): values for name, values in found.blocks.items()}
            factors |= {_join(label, name): pair for name, pair in found.factors.items()}
        assert losses is not None
        return RowGradients(losses, blocks, factors, outputs)

    def split_positions(self, batch: Batch, directions: Directions) -> Tensor:
        """As `GradientCollector.split_positions`, summed over the checkpoints."""
        return self._sum(directions, lambda own: self._own.split_positions(batch, own))

    def split_losses(
        self, batch: Batch, directions: Directions, losses_of: TokenLosses, reduction: Reduction
    ) -> Tensor:
        """As `GradientCollector.split_losses`, summed over the checkpoints."""
        return self._sum(directions, lambda own: self._own.split_losses(batch, own, losses_of, reduction))

    def _sum(self, directions: Directions, split: Callable[[Directions], Tensor]) -> Tensor:
        parts = list[Tensor]()
        for label in self._labels:
            own = {block.name: directions[_join(label, block.name)] for block in self._own.blocks}
            with self._at(label):
                parts.append(split(own))
        return torch.stack(parts).sum(0)

    def evaluate(self, batch: Batch, compute: RowLosses | None = None) -> Tensor:
        """As `GradientCollector.evaluate`, with the model as it is."""
        return self._own.evaluate(batch, compute)

    @contextmanager
    def _at(self, label: str) -> Iterator[None]:
        """The model at a checkpoint; afterwards it is what it was."""
        weights = self._others.get(label)
        if weights is None:
            yield
            return
        try:
            self._write(weights)
            yield
        finally:
            self._write(self._home)

    @torch.no_grad()
    def _write(self, weights: Weights) -> None:
        for name, values in weights.items():
            self._tensors[name].copy_(values)


def tensors_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer by name, tied ones once."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def find_difference(own: nn.Module, other: nn.Module, *, what: str) -> dict[str, Tensor]:
    """The tensors of another checkpoint's model that differ from a model's own.

    Raises AdapterMismatch, naming the checkpoint by `what`, where the two are not of one shape.
    """
    mine, theirs = dict(tensors_of(own)), dict(tensors_of(other))
    odd = sorted(mine.keys() ^ theirs.keys()) or [name for name in mine if mine[name].shape != theirs[name].shape]
    if odd:
        raise AdapterMismatch(
            f"{what} has other tensors than the last checkpoint, such as {odd[0]}.",
            hint="Leave 'join' out: an index of each checkpoint is built then.",
        )
    return {
        name: values.detach()
        for name, values in theirs.items()
        if not values.is_meta and not torch.equal(values, mine[name])
    }


def _join(label: str, block: str) -> str:
    return f"{label}/{block}"

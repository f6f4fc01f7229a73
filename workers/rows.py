"""What flows between tokenising, batching and gradients."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

#: A normalised data set row (see influence.contracts.dataset.RowKind) with its `id`.
Row = Mapping[str, Any]

#: Label of a token that carries no loss.
IGNORED = -100


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """One tokenised row.

    `inputs` maps model keywords to equally long lists of ints (padded along the sequence when collated) or to a
    tensor of fixed shape (stacked; images). `labels` is a class, a list with one label a token (`IGNORED` where no
    loss falls), or a list of floats. `length` is the number of tokens, the unit of the token budget.
    """

    row_id: str
    inputs: Mapping[str, Any]
    labels: Any
    length: int
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded tensors: every input is (B, T) or (B, ...), `labels` is (B,), (B, C) or (B, T).

    A model may read each row in several `copies`, which differ in the inputs named by `by_copy`, (B, copies, ...). It
    then sees B * copies rows, a row's copies one after the other, and the row's loss is made of all of them.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    copies: int = 1
    by_copy: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def to(self, device: torch.device | str) -> "Batch":
        """Move all tensors, without waiting for the copies where memory is pinned."""
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return replace(self, inputs=moved, labels=self.labels.to(device, non_blocking=True))

    def take_row(self, row: int) -> "Batch":
        """A batch of one row, with the padding that it has."""
        inputs = {name: values[row : row + 1] for name, values in self.inputs.items()}
        return replace(self, inputs=inputs, labels=self.labels[row : row + 1])

    def take_copy(self, copy: int) -> "Batch":
        """All rows as one of their copies alone."""
        chosen = {name: self.inputs[name][:, copy : copy + 1] for name in self.by_copy}
        return replace(self, inputs={**self.inputs, **chosen}, copies=1)

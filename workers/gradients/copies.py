"""Rows that a model reads in several copies, where each copy is to count alike."""

from collections.abc import Iterable

import torch
from torch import Tensor

#: Losses (B,) and gradients (B, d) by block of one copy of each row.
Copy = tuple[Tensor, dict[str, Tensor]]


def mean_directions(copies: Iterable[Copy]) -> Copy:
    """The mean over copies of their losses, and of their gradients divided by their length over all blocks; a gradient
    of zero stays zero. One copy is held at a time beside the sum."""
    total: dict[str, Tensor] = {}
    losses: list[Tensor] = []
    for of_copy, blocks in copies:
        losses.append(of_copy)
        squares = torch.stack([values.double().square().sum(dim=1) for values in blocks.values()]).sum(dim=0)
        lengths = squares.sqrt().clamp_min(torch.finfo(torch.float64).tiny)[:, None]
        for block, values in blocks.items():
            unit = (values / lengths).to(values.dtype)
            total[block] = unit if block not in total else total[block].add_(unit)
        del blocks
    return torch.stack(losses).mean(dim=0), {block: values.div_(len(losses)) for block, values in total.items()}

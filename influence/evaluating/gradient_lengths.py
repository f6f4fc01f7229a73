"""How long rows' gradients are at a checkpoint, and at which of a run's checkpoints they tell most. numpy only.

Gradients first grow, while a model learns what its rows have in common, and then die away on the rows that it knows,
until a few unusual rows make up the sums. Where their mean length is largest scores agreed best with retraining on both
data sets measured (docs/method.md); nothing is retrained to find it.
"""

import numpy as np
from numpy.typing import ArrayLike

#: Below this share of rows that count, an index warns.
FEW_COUNT = 1 / 3


def sum_lengths(squared_norms: ArrayLike) -> tuple[float, float]:
    """(sum of lengths, sum of squared lengths) of rows with squared norms (n, blocks): sums, so that shards add up."""
    squares = np.asarray(squared_norms, np.float64).sum(axis=1)
    return float(np.sqrt(squares).sum()), float(squares.sum())


def share_that_counts(rows: int, lengths: float, squared_lengths: float) -> float:
    """How many rows of equal length would spread as these do, as a share of all: (sum |g|)^2 / (n sum |g|^2), from 1/n,
    where one row has all the gradient, to 1, where all have as much; 0 where none has any."""
    return lengths**2 / (rows * squared_lengths) if squared_lengths > 0 else 0.0

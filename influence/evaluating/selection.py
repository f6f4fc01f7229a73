"""Which rows an experiment takes. Seeded, and the same for the same rows on every machine. numpy only."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def spread_over_classes(classes: Sequence[str], count: int, *, seed: int) -> Rows:
    """At most `count` positions, ascending, as evenly from all classes as their rows allow.

    Classes take turns in random order until they have no rows left: numbers of two that have differ by one at most.
    """
    names, members = np.unique(np.asarray(classes), return_inverse=True)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(classes))
    turn = np.empty(len(classes), dtype=np.int64)
    for number in range(len(names)):
        own = shuffled[members[shuffled] == number]
        turn[own] = np.arange(len(own))
    first = rng.permutation(len(names))[members]
    return np.sort(np.lexsort((first, turn))[:count]).astype(np.int64)


def hold_out(classes: Sequence[str], *, seed: int, every: int = 10) -> tuple[Rows, Rows]:
    """(kept, held-out) positions, ascending: one row of `every`, rounded up, spread over the classes."""
    held = spread_over_classes(classes, -(-len(classes) // every), seed=seed)
    return np.setdiff1d(np.arange(len(classes)), held), held

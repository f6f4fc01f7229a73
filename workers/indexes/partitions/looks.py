"""What is asked of a part about the scores of its rows, and what it answers: little, however many rows it has."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from influence.ranking.exact_sums import ExactSums
from influence.ranking.marks import Marks
from influence.ranking.merged import Interval

Packed = NDArray[np.uint8]
Positions = NDArray[np.int64]

#: All scores.
EVERYWHERE: Interval = (-np.inf, np.inf)


@dataclass(frozen=True)
class Look:
    """About the scores by query vectors (m, P): the `ends` highest and lowest rows, `marks` within each of some
    intervals per test point, and the influence of rows at some `positions` in the index."""

    vectors: NDArray[np.float32]
    intervals: Sequence[Sequence[Interval]]
    marks: int
    ends: int = 0
    positions: Positions | None = None

    def pack(self) -> Packed:
        """As bytes."""
        bounds = [bound for intervals in self.intervals for bound in intervals]
        return _pack(
            {
                "vectors": self.vectors,
                "bounds": np.array(bounds, np.float64).reshape(-1, 2),
                "lengths": np.array([len(intervals) for intervals in self.intervals], np.int64),
                "counts": np.array([self.marks, self.ends], np.int64),
                "positions": np.empty(0, np.int64) if self.positions is None else self.positions,
            }
        )

    @classmethod
    def unpack(cls, packed: Packed) -> "Look":
        found = load(packed.tobytes())
        parts = np.split(found["bounds"], np.cumsum(found["lengths"])[:-1])
        marks, ends = found["counts"].tolist()
        intervals = [[(low, high) for low, high in part.tolist()] for part in parts]
        return cls(found["vectors"], intervals, marks, ends, found["positions"])


@dataclass(frozen=True)
class Seen:
    """What a part found for each of m test points: marks and sums of its scores, its first rows from both ends, by
    their positions in the index (m, r) and with their influence, and the influence (m, p) of the rows that were
    named."""

    marks: Sequence[Marks]
    sums: Sequence[ExactSums]
    positions: Positions
    influence: NDArray[np.float32]
    named: NDArray[np.float32]

    def of(self, point: int) -> "Seen":
        """The same of one test point."""
        own = slice(point, point + 1)
        return Seen(self.marks[own], self.sums[own], self.positions[own], self.influence[own], self.named[own])

    def pack(self) -> Packed:
        """As bytes."""
        totals = [[one.count, one.total, one.squares] for one in self.sums]
        return _pack(
            {
                "values": np.concatenate([one.values for one in self.marks]),
                "below": np.concatenate([one.below for one in self.marks]),
                "upto": np.concatenate([one.upto for one in self.marks]),
                "lengths": np.array([len(one.values) for one in self.marks], np.int64),
                "sums": np.frombuffer(json.dumps(totals).encode(), np.uint8),
                "positions": self.positions,
                "influence": self.influence,
                "named": self.named,
            }
        )

    @classmethod
    def unpack(cls, packed: Packed) -> "Seen":
        found = load(packed.tobytes())
        stops = np.cumsum(found["lengths"])[:-1]
        columns = (np.split(found[name], stops) for name in ("values", "below", "upto"))
        return cls(
            marks=[Marks(*one) for one in zip(*columns, strict=True)],
            sums=[ExactSums(*one) for one in json.loads(found["sums"].tobytes())],
            positions=found["positions"],
            influence=found["influence"],
            named=found["named"],
        )


def _pack(arrays: Mapping[str, NDArray[Any]]) -> Packed:
    """As bytes of safetensors: numpy's own archives take milliseconds."""
    return np.frombuffer(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}), np.uint8)

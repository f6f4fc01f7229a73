"""A part ranks its own rows: of their scores only what an answer needs leaves the worker that has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index
from influence.digests import digest_bytes
from influence.ranking.held import HeldScores
from influence.ranking.marks import Marks
from influence.ranking.order import scores_of
from influence.store.data.scans import PartWork
from workers.indexes.compact import CompactIndex
from workers.indexes.partitions.looks import Look, Positions, Seen
from workers.runtime.deletions import forget_if_deleted
from workers.runtime.state import Runtime

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RankedRows:
    """Influence (n,) of a part's rows on a test point, and the scores in order: kept between the looks of one pass."""

    influence: Floats
    held: HeldScores

    @classmethod
    def of(cls, influence: Floats) -> "RankedRows":
        return cls(influence, HeldScores.of(scores_of(influence)))

    @property
    def bytes(self) -> int:
        return self.influence.nbytes + self.held.ascending.nbytes

    def find_ends(self, count: int) -> Positions:
        """The places (2 * count) of the rows with the highest scores and the lowest, ties in row order."""
        lowest, highest = self.held.ascending[count - 1], self.held.ascending[-count]
        # Influence is the negative of a score.
        helpful = np.flatnonzero(self.influence <= -highest)
        harmful = np.flatnonzero(self.influence >= -lowest)
        return np.concatenate(
            [
                _keep_first(helpful, self.influence[helpful] < -highest, count),
                _keep_first(harmful, self.influence[harmful] > -lowest, count),
            ]
        )

    def mark(self, look: Look, point: int) -> Marks:
        """Marks within the intervals asked of a test point."""
        empty = np.empty(0, np.int64)
        marks = Marks(np.empty(0, np.float32), empty, empty)
        for low, high in look.intervals[point]:
            marks = marks.join(self.held.mark(low, high, look.marks, look.ends))
        return marks


def _keep_first(places: Positions, is_sure: NDArray[np.bool_], count: int) -> Positions:
    """So many places: those that are sure, and of the others the first."""
    sure = places[is_sure]
    return np.concatenate([sure, places[~is_sure][: count - len(sure)]])


def look_at_part(runtime: Runtime, index: Index, hot: CompactIndex, work: PartWork, look: Look) -> Seen:
    """Answer a look from the rows of a part. Raises NotFound when the index is deleted meanwhile."""
    rows = _rank(runtime, index, hot, work, look.vectors)
    named = look.positions if look.positions is not None else np.empty(0, np.int64)
    named = named[(named >= work.start) & (named < work.stop)] - work.start
    count = min(look.ends, work.stop - work.start)
    ends = [one.find_ends(count) if count else np.empty(0, np.int64) for one in rows]
    return Seen(
        marks=[one.mark(look, point) for point, one in enumerate(rows)],
        sums=[one.held.sums for one in rows],
        positions=np.stack(ends) + work.start,
        influence=np.stack([one.influence[places] for one, places in zip(rows, ends, strict=True)]),
        named=np.stack([one.influence[named] for one in rows]),
    )


def _rank(runtime: Runtime, index: Index, hot: CompactIndex, work: PartWork, vectors: Floats) -> list[RankedRows]:
    """By each of the query vectors (m, P); those that were not kept from the look before are scored in one pass."""
    names = [_name(work, vector) for vector in vectors]
    new = [place for place, name in enumerate(names) if not runtime.hot_indexes.holds(index, what=name)]
    made: dict[int, RankedRows] = {}
    if new:
        influence = _score(hot, work, vectors[new])
        made = {place: RankedRows.of(_own(influence, row)) for row, place in enumerate(new)}

    def load(place: int) -> RankedRows:
        return made.get(place) or RankedRows.of(_score(hot, work, vectors[[place]])[0])

    ranked = [runtime.hot_indexes.get(index, partial(load, place), what=name) for place, name in enumerate(names)]
    forget_if_deleted(runtime, index)
    return ranked


def _own(influence: Floats, row: int) -> Floats:
    return np.asarray(influence[row] if len(influence) == 1 else influence[row].copy())


def _score(hot: CompactIndex, work: PartWork, vectors: Floats) -> Floats:
    return hot.prepare(work.method, work.damping_scale).finish(hot.scan(vectors))


def _name(work: PartWork, vector: Floats) -> str:
    asked: Sequence[object] = (work.start, work.stop, work.method, work.damping_scale)
    return f"scores {digest_bytes(repr(asked).encode(), vector.tobytes())}"

"""Influence that lies with the parts of an index, each of which ranks its own rows: what is read of it is asked for.

Bytes through Redis depend on how many rows are shown and on the parts, not on the index's rows. First each part tells
its first rows from both ends, and marks of all its scores; once it is known which rows are shown, and what their
scores are by their true gradients, it is asked for what is missing between the marks, usually once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from influence.compact.rerank import CANDIDATES_PER_RESULT
from influence.contracts.query import Order, QueryRequest
from influence.errors import Internal
from influence.ranking.exact_sums import ExactSums
from influence.ranking.marks import Marks
from influence.ranking.merged import Interval, MergedScores, Replaced
from influence.ranking.order import Ranking, lowest_rows, rank_rows, scores_of
from influence.ranking.statistics import Distribution
from influence.store.data.scores import QueryScores, Recipe
from workers.indexes.partitions.looks import EVERYWHERE, Look, Seen
from workers.indexes.partitions.partitioned import PartitionedIndex
from workers.queries.scored.influence import Floats, Influence, Positions, Scored
from workers.queries.scored.opened import OpenedIndexes, OpenedTerm

#: Test points that a part is asked about at once: it holds 12 bytes per row for each.
_POINTS_PER_LOOK = 8
#: Marks of all parts together, of all scores and of what is looked at closer, and the fewest of one part.
_MARKS, _CLOSER_MARKS, _FEWEST_MARKS = 1 << 15, 1 << 13, 64
#: Each round cuts what is not known by the marks of a part: more than a few are a mistake.
_MOST_ROUNDS = 60


def find_influence(indexes: OpenedIndexes, request: QueryRequest) -> Scored:
    """`sum_c weight_c influence_c`, each index by its own test gradients.

    It stays with the parts of an index that has some where nobody compares all scores of a test point with others.
    """
    if len(indexes.terms) == 1 and not request.compare and "levels" not in request.include:
        opened = next(iter(indexes.each()))
        if isinstance(opened.hot, PartitionedIndex) and _may_stay(opened, opened.hot, request):
            with indexes.watch.phase("score"):
                return _leave_with_parts(opened, opened.hot, request)
    return sum_influence(indexes)


def sum_influence(indexes: OpenedIndexes) -> Influence:
    """The same, all of it here."""
    total: Influence | None = None
    for opened in indexes.each():
        with indexes.watch.phase("score"):
            part = opened.score()
            total = part if total is None else total + part
    assert total is not None
    return total


def _may_stay(opened: OpenedTerm, hot: PartitionedIndex, request: QueryRequest) -> bool:
    """Scores of whole numbers alone are the same to the bit however many test points share a pass."""
    are_few = request.exact is not False and 2 * CANDIDATES_PER_RESULT * request.k >= len(hot.row_indexes)
    return opened.term.index.spec.code_dtype == "int8" and opened.term.weight == 1 and not are_few


def _leave_with_parts(opened: OpenedTerm, hot: PartitionedIndex, request: QueryRequest) -> "PartedInfluence":
    ends = request.k if request.exact is False else (CANDIDATES_PER_RESULT + 1) * request.k
    vectors = hot.query_vectors(request.method, request.damping_scale, opened.gradients)
    return PartedInfluence(hot, request.method, request.damping_scale, vectors, min(ends, len(hot.row_indexes)))


@dataclass
class _Point:
    """What is known of a test point: `influence` (r,) of rows at `positions` (r,), ascending, `marks` of each part's
    scores and their `sums`. `first` is how many rows from both ends are among those that are known."""

    positions: Positions
    influence: Floats
    marks: list[Marks]
    sums: ExactSums

    def learn(self, positions: Positions, influence: Floats) -> None:
        """Influence of some rows; what was known of them before stays."""
        self.positions, first = np.unique(np.concatenate([self.positions, positions]), return_index=True)
        self.influence = np.concatenate([self.influence, influence])[first]

    def at(self, positions: Positions) -> Floats:
        return self.influence[np.searchsorted(self.positions, positions)]

    def first(self, count: int) -> Positions:
        """The rows with the `count` highest and lowest scores, of those that are known."""
        found = [lowest_rows(values, min(count, len(values))) for values in (self.influence, -self.influence)]
        return self.positions[np.concatenate(found)]


class PartedInfluence:
    """Influence of an index's rows on test points by their query vectors (m, P); see `Scored`."""

    def __init__(
        self, hot: PartitionedIndex, method: str, damping_scale: float | None, vectors: Floats, ends: int
    ) -> None:
        self._hot = hot
        self._method = method
        self._damping_scale = damping_scale
        self._vectors = vectors
        self._ends = ends
        self._changed: Positions = np.empty(0, np.int64)
        self._better: Floats = np.empty((len(vectors), 0), np.float32)
        self._worse: Floats = self._better
        everyone = [*range(len(vectors))]
        self._known = [_begin(point) for point in self._look({point: [EVERYWHERE] for point in everyone}, _MARKS, ends)]

    @property
    def row_indexes(self) -> Positions:
        return self._hot.row_indexes

    @property
    def points(self) -> int:
        return len(self._vectors)

    def choose_candidates(self, count: int) -> Positions:
        return np.unique(np.concatenate([known.first(count) for known in self._known]))

    def replace(self, positions: Positions, influence: Floats) -> None:
        if self.points > 1:  # of one test point the rows came from its own ends
            for known, (_, seen) in zip(self._known, self._look_at_rows(positions), strict=True):
                known.learn(positions, np.concatenate([part.named for part in seen], axis=1)[0])
        self._changed, self._better = positions, influence
        self._worse = np.stack([known.at(positions) for known in self._known])

    def rank(self, k: int, order: Order) -> list[Ranking]:
        self._see_enough(k)
        return [self._rank(point, k, order) for point in range(self.points)]

    def _rank(self, point: int, k: int, order: Order) -> Ranking:
        known = self._known[point]
        found = rank_rows(scores_of(self.at(point, known.positions)), k, order)
        return Ranking(*(known.positions[places] for places in (found.helpful, found.harmful, found.absolute)))

    def _see_enough(self, k: int) -> None:
        """Ask for more rows where those that have other influence now might not be among the first any more."""
        wanted = min(k + len(self._changed), len(self.row_indexes))
        late = [
            point
            for point, known in enumerate(self._known)
            if self._ends < wanted and _count_kept(known, self._ends, self._changed) < k
        ]
        if late:
            for point, seen in self._look({point: [] for point in late}, 1, wanted):
                for part in seen:
                    self._known[point].learn(part.positions[0], part.influence[0])

    def at(self, point: int, positions: Positions) -> Floats:
        found = self._known[point].at(positions).copy()
        is_better = np.isin(positions, self._changed)
        found[is_better] = self._better[point, np.searchsorted(self._changed, positions[is_better])]
        return found

    def describe(self, shown: Sequence[Positions]) -> Iterable[Distribution]:
        levels = [np.asarray(scores_of(self.at(point, positions)), np.float32) for point, positions in enumerate(shown)]
        found = {point: self._merge(point) for point in range(self.points)}
        for _ in range(_MOST_ROUNDS):
            wanted = {point: asked for point in found if (asked := found[point].missing(levels[point]))}
            if not wanted:
                return [*found.values()]
            for point, seen in self._look(wanted, _CLOSER_MARKS, 0):
                marks = self._known[point].marks
                marks[:] = [old.join(part.marks[0]) for old, part in zip(marks, seen, strict=True)]
                found[point] = self._merge(point)
        raise Internal("The order of an index's scores is not found.")

    def _merge(self, point: int) -> MergedScores:
        known = self._known[point]
        replaced = Replaced.of(scores_of(self._worse[point]), scores_of(self._better[point]))
        counts = [part.stop - part.start for part in self._hot.fan_out.parts]
        return MergedScores([*known.marks], counts, known.sums, replaced)

    def keep(self, scores: QueryScores, query_id: str, rows: int) -> None:
        index, parts = self._hot.fan_out.index, self._hot.fan_out.parts
        recipe = Recipe(
            build_job_id=index.job_id,
            bounds=np.array([(part.start, part.stop) for part in parts], np.int64),
            method=self._method,
            damping_scale=self._damping_scale,
            vectors=self._vectors,
            positions=self._changed,
            influence=self._better,
        )
        scores.write_recipe(query_id, recipe)

    def _look_at_rows(self, positions: Positions) -> Iterable[tuple[int, list[Seen]]]:
        return self._look({point: [] for point in range(self.points)}, 1, 0, positions)

    def _look(
        self, asked: dict[int, list[Interval]], marks: int, ends: int, positions: Positions | None = None
    ) -> Iterable[tuple[int, list[Seen]]]:
        """What each part saw, of each test point that is asked about."""
        points = [*asked]
        per_part = max(_FEWEST_MARKS, marks // len(self._hot.fan_out.parts))
        for start in range(0, len(points), _POINTS_PER_LOOK):
            chosen = points[start : start + _POINTS_PER_LOOK]
            look = Look(self._vectors[chosen], [asked[point] for point in chosen], per_part, ends, positions)
            seen = self._hot.look(self._method, self._damping_scale, look)
            for place, point in enumerate(chosen):
                yield point, [part.of(place) for part in seen]


def _begin(found: tuple[int, list[Seen]]) -> _Point:
    """What is known after the first look."""
    seen = found[1]
    known = _Point(
        np.empty(0, np.int64),
        np.empty(0, np.float32),
        [part.marks[0] for part in seen],
        sum((part.sums[0] for part in seen), ExactSums()),
    )
    known.learn(*(np.concatenate([getattr(part, name)[0] for part in seen]) for name in ("positions", "influence")))
    return known


def _count_kept(known: _Point, ends: int, changed: Positions) -> int:
    """How many of the first rows of either end, the fewer, have the influence that they had."""
    first = np.isin(known.first(ends), changed, invert=True).reshape(2, -1)
    return int(first.sum(axis=1).min())

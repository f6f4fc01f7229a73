"""The indexes of one query, opened one after the other: the one asked, or those of several checkpoints to sum over.

A query goes over them twice: forwards for the scores, and backwards for what each block contributes to the rows that
people look at. Backwards, so that the models and indexes that were used last are found where they still are. Between
the two the test gradients are kept under a bound of bytes, so that memory does not grow with the checkpoints. What the
process keeps of earlier queries about the same points is taken from there: other methods ask the same gradients.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.index import Index
from influence.contracts.points import PointSource
from influence.contracts.query import Query, QueryRequest
from influence.digests import digest_json
from workers.indexes.open import open_hot, require_offered, score_all_points, take_points
from workers.queries.row_gradients import read_row_gradients
from workers.queries.scored.influence import Influence
from workers.queries.test_points import TestPoints, make_test_points, measure
from workers.runtime.deletions import forget_if_deleted
from workers.runtime.hot_indexes import HotIndex
from workers.runtime.interrupts import check_wanted
from workers.runtime.models import HotModel
from workers.runtime.open import open_model
from workers.runtime.state import Runtime
from workers.runtime.stopwatch import Stopwatch

log = structlog.get_logger()


@dataclass(frozen=True)
class IndexTerm:
    """An index and what its influence is multiplied by."""

    index: Index
    weight: float


@dataclass(frozen=True)
class OpenedTerm:
    """A term at hand: the index's rows, and the test points' gradients (m, d) per block under its own checkpoint."""

    runtime: Runtime
    request: QueryRequest
    term: IndexTerm
    hot: HotIndex
    gradients: dict[str, Tensor]

    def score(self) -> Influence:
        """The term's part of the influence of every row."""
        score = self.hot.scorer(self.request.method, self.request.damping_scale)
        values = score_all_points(score, self.gradients)
        weight = self.term.weight
        return Influence(self.hot.row_indexes, values if weight == 1 else values * np.float32(weight))

    def block_contributions(
        self, points: slice, row_indexes: NDArray[np.int64], hear: Callable[[int], None] | None = None
    ) -> NDArray[np.float64]:
        """The blocks' parts (blocks, m, r) of the exact influence of data set rows on some test points.

        Of codes the rows' gradients are computed where they are not kept: the model is loaded for that, if at all.
        """
        return self.term.weight * self.hot.block_contributions(
            self.request.method,
            self.request.damping_scale,
            take_points(self.gradients, points.start, points.stop),
            np.searchsorted(self.hot.row_indexes, row_indexes),
            lambda rows: read_row_gradients(self.runtime, self.term.index, rows, hear),
        )

    def score_rows(self, row_indexes: NDArray[np.int64]) -> NDArray[np.float32]:
        """The term's influence (r, n) of every row on rows of the data set, asked as test points."""
        index = self.term.index
        joined = read_row_gradients(self.runtime, index, row_indexes)
        parts = torch.split(joined, [block.parameters for block in index.blocks], dim=1)
        gradients = {block.name: part for block, part in zip(index.blocks, parts, strict=True)}
        score = self.hot.scorer(self.request.method, self.request.damping_scale)
        return score_all_points(score, gradients) * np.float32(self.term.weight)

    def directions(self, point: int) -> dict[str, Tensor]:
        """What one test point's gradient becomes, (d,) per block: rows' scores are inner products with it."""
        request, test = self.request, take_points(self.gradients, point, point + 1)
        found = self.hot.directions(request.method, request.damping_scale, test)
        return {name: self.term.weight * part[0] for name, part in zip(self.gradients, found, strict=True)}


class OpenedIndexes:
    """Opens a query's terms; the asked index is the first. `watch` is told where the time goes."""

    def __init__(self, runtime: Runtime, query: Query, terms: Sequence[IndexTerm], watch: Stopwatch) -> None:
        self.terms = terms
        self.watch = watch
        self._runtime = runtime
        self._query = query
        self._points: TestPoints | None = None
        self._kept: dict[str, dict[str, Tensor]] = {}
        self._room_bytes = runtime.settings.test_gradient_bytes
        self._last: OpenedTerm | None = None

    @property
    def are_full(self) -> bool:
        """Whether every index keeps whole gradients."""
        return all(term.index.spec.storage == "full" for term in self.terms)

    @property
    def points(self) -> TestPoints:
        """The test points as the asked index's checkpoint sees them, without gradients; known once it was opened."""
        assert self._points is not None
        return self._points.mean() if self._query.request.aggregate == "mean" else self._points

    def each(self) -> Iterator[OpenedTerm]:
        """Every term, the asked one first. Raises Cancelled, NonFiniteGradients."""
        for term in self.terms:
            yield self._open(term)

    def each_backwards(self) -> Iterator[OpenedTerm]:
        """Every term again, the last one first, which is still at hand."""
        for term in reversed(self.terms):
            yield self._open(term)

    def _open(self, term: IndexTerm) -> OpenedTerm:
        if self._last is None or self._last.term is not term:
            check_wanted(self._runtime, self._query.job_id)
            self._last = None  # before the next takes memory
            gradients = self._kept.get(term.index.id) or self._find_gradients(term.index)
            with self.watch.phase("load_index"):
                hot = open_hot(self._runtime, term.index, self._query.job_id)
            self._last = OpenedTerm(self._runtime, self._query.request, term, hot, gradients)
        return self._last

    def _find_gradients(self, index: Index) -> dict[str, Tensor]:
        points = self._runtime.kept_points.get(
            self._query.id,
            index,
            self._digest_points(),
            lambda: self._compute_points(index),
            lambda: forget_if_deleted(self._runtime, index, self._query.id),
        )
        self._points = points.without_gradients()
        gradients = (points.mean() if self._query.request.aggregate == "mean" else points).gradients
        self._keep(index, gradients)
        return gradients

    def _digest_points(self) -> str:
        """What tells an index's test points apart: the request's points, and of further indexes the one asked, whose
        checkpoint may have answered for them."""
        request, asked = self._query.request, self.terms[0].index
        first = None if self._points is None else [asked.id, asked.job_id]
        return digest_json([request.model_dump(mode="json", include={*PointSource.model_fields}), *self._shown, first])

    @property
    def _shown(self) -> tuple[bool, bool]:
        """Whether the model's answers to single points are shown, and whether the losses of their tokens are."""
        is_each = self._query.request.aggregate == "each"
        return is_each, is_each and "tokens" in self._query.request.include

    def _compute_points(self, index: Index) -> TestPoints:
        with self.watch.phase("load_model"):
            model = open_model(self._runtime, index)
        with self.watch.phase("test_gradients"):
            points = self._take_points(model)
        log.debug("test gradients computed", index_id=index.id, points=len(points.rows))
        return points

    def _take_points(self, model: HotModel) -> TestPoints:
        request = self._query.request
        if self._points is None:
            predict, with_tokens = self._shown
            return make_test_points(
                self._runtime, request, model, predict=predict, with_base=True, with_tokens=with_tokens
            )
        # The asked checkpoint's own answer, where that is the target, stands as the label by now.
        found = measure(self._runtime, request, model, self._points.rows)
        return replace(self._points, gradients=found.gradients)

    def _keep(self, index: Index, gradients: dict[str, Tensor]) -> None:
        """First come, first kept: the models of those that come last are still loaded on the way back."""
        size = sum(values.nbytes for values in gradients.values())
        if size <= self._room_bytes and len(self.terms) > 1:
            self._kept[index.id] = gradients
            self._room_bytes -= size


def find_terms(runtime: Runtime, query: Query) -> list[IndexTerm]:
    """The terms of a query. Raises NotFound, IndexNotReady, MethodNotOffered."""
    chosen = query.checkpoints or ()
    weights = {summed.index_id: summed.weight for summed in chosen} or {query.index_id: 1.0}
    method = query.request.method
    return [IndexTerm(require_offered(runtime, index_id, method), weight) for index_id, weight in weights.items()]

"""From influence to the answer that people read: ranked rows with their text, percentiles, histogram."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index
from influence.contracts.query import Query, ScoredRow, TestPointResult
from influence.ranking import Ranking, direction_of, histogram, percentiles, rank_rows, scores_of, summarise
from workers.queries.exact_shares import Shares
from workers.queries.influence import Influence
from workers.queries.test_points import TestPoints
from workers.rows import Row
from workers.runtime.open import open_rows
from workers.runtime.state import Runtime

Positions = NDArray[np.int64]


class ResultBuilder:
    """Builds results for one query. Positions are places among the scored rows; rows are data set rows."""

    def __init__(
        self,
        runtime: Runtime,
        query: Query,
        index: Index,
        points: TestPoints,
        influence: Influence,
        *,
        is_exact: Callable[[Positions], NDArray[np.bool_]],
        share: Callable[[Sequence[Positions]], Sequence[Shares]] | None = None,
        change_scale: float | None = None,
    ) -> None:
        """`is_exact` tells of positions whether their scores are final, `share` gives blocks' parts where asked for,
        `change_scale` makes predicted changes of loss of scores where the index was calibrated."""
        self._request = query.request
        self._points = points
        self._influence = influence
        self._is_exact = is_exact
        self._share = share
        self._change_scale = change_scale
        self._rows = open_rows(runtime, index.spec.dataset_id)

    def build(self) -> list[TestPointResult]:
        """One result a test point."""
        k = min(self._request.k, len(self._influence.row_indexes))
        rankings = [rank_rows(scores_of(values), k, self._request.order) for values in self._influence.values]
        shown = [np.unique(np.concatenate([found.helpful, found.harmful, found.absolute])) for found in rankings]
        shares: Sequence[Shares] = [{} for _ in shown]
        if self._share is not None and "blocks" in self._request.include:
            shares = self._share(shown)
        return [
            self._build_one(number, *found) for number, found in enumerate(zip(rankings, shown, shares, strict=True))
        ]

    def _build_one(self, number: int, ranking: Ranking, shown: Positions, shares: Shares) -> TestPointResult:
        points = self._points
        scores = scores_of(self._influence.values[number])
        rows = self._describe(number, shown, shares)
        prediction = points.predictions[number]
        return TestPointResult(
            example=_without_id(points.rows[number]),
            loss=points.losses[number],
            predicted_label=None if prediction is None else prediction.label,
            predicted_probability=None if prediction is None else prediction.probability,
            prediction=None if prediction is None else prediction.text,
            helpful=_ranked(rows, ranking.helpful),
            harmful=_ranked(rows, ranking.harmful),
            absolute=_ranked(rows, ranking.absolute),
            histogram=histogram(scores),
            summary=summarise(scores),
        )

    def _describe(self, number: int, shown: Positions, shares: Shares) -> dict[int, ScoredRow]:
        """Every row that any list shows, by position."""
        influence = self._influence.values[number]
        row_indexes = self._influence.row_indexes[shown].tolist()
        percentile = percentiles(scores_of(influence), shown)
        texts = self._rows.read_many(row_indexes)
        exact = self._is_exact(shown)
        return {
            int(position): self._score_row(
                row_indexes[place],
                texts[place],
                float(influence[position]),
                float(percentile[place]),
                bool(exact[place]),
                shares.get(int(position)),
            )
            for place, position in enumerate(shown)
        }

    def _score_row(
        self,
        row_index: int,
        row: Row,
        influence: float,
        percentile: float,
        exact: bool,
        blocks: dict[str, float] | None,
    ) -> ScoredRow:
        change = None if self._change_scale is None else -influence * self._change_scale
        return ScoredRow(
            rank=0,
            row_index=row_index,
            row_id=str(row["id"]),
            row=_without_id(row),
            label=row.get("label"),
            influence=influence,
            score=0.0 - influence,
            direction=direction_of(-influence),
            percentile=round(percentile, 4),
            exact=exact,
            predicted_change=change,
            blocks=blocks,
        )


def _ranked(rows: Mapping[int, ScoredRow], order: Positions) -> tuple[ScoredRow, ...]:
    return tuple(rows[int(position)].model_copy(update={"rank": rank}) for rank, position in enumerate(order, start=1))


def _without_id(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}

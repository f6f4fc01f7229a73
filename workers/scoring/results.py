"""From influence to the answer that people read: ranked rows with their text, percentiles, histogram."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index
from influence.contracts.query import Query, ScoredRow, TestPointResult
from influence.methods.registry import get_method
from influence.ranking import direction_of, histogram, percentiles, rank_rows, scores_of, summarise
from influence.rows.file import RowFile
from workers.rows import Row
from workers.runtime import Runtime
from workers.scoring.hot import HotIndex
from workers.scoring.testpoints import TestPoints, take

Floats = NDArray[np.float32]


class ResultBuilder:
    """Builds results for one query. Positions are places in the hot index; rows are data set rows."""

    def __init__(self, runtime: Runtime, query: Query, index: Index, hot: HotIndex) -> None:
        self._request = query.request
        self._hot = hot
        self._rows = RowFile(runtime.files.dataset(index.spec.dataset_id))

    def build(self, points: TestPoints, influence: Floats) -> list[TestPointResult]:
        """One result a test point; `influence` is (m, n)."""
        return [self._build_one(points, number, influence[number]) for number in range(len(points.rows))]

    def _build_one(self, points: TestPoints, number: int, influence: Floats) -> TestPointResult:
        scores = scores_of(influence)
        k = min(self._request.k, len(scores))
        ranking = rank_rows(scores, k, self._request.order)
        shown = np.unique(np.concatenate([ranking.helpful, ranking.harmful, ranking.absolute]))
        rows = self._describe(points, number, influence, shown)
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

    def _describe(
        self, points: TestPoints, number: int, influence: Floats, shown: NDArray[np.int64]
    ) -> dict[int, ScoredRow]:
        """Every row that any list shows, by position."""
        scores = scores_of(influence)
        percentile = percentiles(scores, shown)
        texts = self._rows.read_many(self._hot.row_indexes[shown].tolist())
        blocks = self._contributions(points, number, shown)
        return {
            int(position): _scored_row(
                int(self._hot.row_indexes[position]), text, float(influence[position]), float(percentile[place]),
                None if blocks is None else {name: float(values[place]) for name, values in blocks.items()},
            )
            for place, (position, text) in enumerate(zip(shown, texts, strict=True))
        }  # fmt: skip

    def _contributions(self, points: TestPoints, number: int, shown: NDArray[np.int64]) -> Mapping[str, Floats] | None:
        """Each block's share of the influence of the shown rows."""
        if "blocks" not in self._request.include:
            return None
        method = get_method(self._request.method)
        test = take(points.gradients, number, number + 1)
        scores = self._hot.score(method, self._request.damping_scale, test, rows=shown, per_block=True)
        return {name: values[0].float().cpu().numpy() for name, values in (scores.blocks or {}).items()}


def _scored_row(
    row_index: int, row: Row, influence: float, percentile: float, blocks: dict[str, float] | None
) -> ScoredRow:
    return ScoredRow(
        rank=0, row_index=row_index, row_id=str(row["id"]), row=_without_id(row), label=row.get("label"),
        influence=influence, score=0.0 - influence, direction=direction_of(-influence),
        percentile=round(percentile, 4), exact=True, blocks=blocks,
    )  # fmt: skip


def _ranked(rows: Mapping[int, ScoredRow], order: Sequence[Any] | NDArray[np.int64]) -> tuple[ScoredRow, ...]:
    return tuple(rows[int(position)].model_copy(update={"rank": rank}) for rank, position in enumerate(order, start=1))


def _without_id(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}

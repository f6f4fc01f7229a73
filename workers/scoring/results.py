"""From influence to the answer that people read: ranked rows with their text, percentiles, histogram."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index
from influence.contracts.query import Query, ScoredRow, TestPointResult
from influence.ranking import direction_of, histogram, percentiles, rank_rows, scores_of, summarise
from influence.rows.file import RowFile
from workers.rows import Row
from workers.runtime import Runtime
from workers.scoring.compact import CompactIndex
from workers.scoring.full import FullIndex
from workers.scoring.hot import HotIndex
from workers.scoring.rerank import Reranked
from workers.scoring.testpoints import TestPoints, take

Floats = NDArray[np.float32]
Positions = NDArray[np.int64]


class ResultBuilder:
    """Builds results for one query. Positions are places in the hot index; rows are data set rows."""

    def __init__(self, runtime: Runtime, query: Query, index: Index, hot: HotIndex, exact: Reranked | None) -> None:
        self._request = query.request
        self._index = index
        self._hot = hot
        self._exact = exact
        self._rows = RowFile(runtime.files.dataset(index.spec.dataset_id))

    def build(self, points: TestPoints, influence: Floats) -> list[TestPointResult]:
        """One result a test point; `influence` is (m, n)."""
        return [self._build_one(points, number, influence[number]) for number in range(len(points.rows))]

    def _build_one(self, points: TestPoints, number: int, influence: Floats) -> TestPointResult:
        scores = scores_of(influence)
        ranking = rank_rows(scores, min(self._request.k, len(scores)), self._request.order)
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

    def _describe(self, points: TestPoints, number: int, influence: Floats, shown: Positions) -> dict[int, ScoredRow]:
        """Every row that any list shows, by position."""
        percentile = percentiles(scores_of(influence), shown)
        texts = self._rows.read_many(self._hot.row_indexes[shown].tolist())
        exact = self._is_exact(shown)
        blocks = self._share_blocks(points, number, shown, exact)
        return {
            int(position): _scored_row(
                int(self._hot.row_indexes[position]), texts[place], float(influence[position]),
                float(percentile[place]), bool(exact[place]), blocks.get(int(position)),
            )
            for place, position in enumerate(shown)
        }  # fmt: skip

    def _is_exact(self, shown: Positions) -> NDArray[np.bool_]:
        if not isinstance(self._hot, CompactIndex):
            return np.ones(len(shown), dtype=np.bool_)
        return np.isin(shown, self._exact.positions if self._exact else [])

    def _share_blocks(
        self, points: TestPoints, number: int, shown: Positions, exact: NDArray[np.bool_]
    ) -> dict[int, dict[str, float]]:
        """Each block's part of the influence of the shown rows; codes do not tell blocks apart, gradients do."""
        if "blocks" not in self._request.include:
            return {}
        names = [block.name for block in self._index.blocks]
        if isinstance(self._hot, FullIndex):
            test = take(points.gradients, number, number + 1)
            parts = self._hot.share_blocks(self._request.method, self._request.damping_scale, test, shown)
            table = np.stack([parts[name][0] for name in names]) if parts else np.zeros((0, len(shown)))
            positions = shown
        elif self._exact is not None:
            positions = shown[exact]
            table = -self._exact.shares[:, number, np.searchsorted(self._exact.positions, positions)]
        else:
            return {}
        return {
            int(position): dict(zip(names, table[:, place].tolist(), strict=True))
            for place, position in enumerate(positions)
            if len(table)
        }


def _scored_row(
    row_index: int, row: Row, influence: float, percentile: float, exact: bool, blocks: dict[str, float] | None
) -> ScoredRow:
    return ScoredRow(
        rank=0, row_index=row_index, row_id=str(row["id"]), row=_without_id(row), label=row.get("label"),
        influence=influence, score=0.0 - influence, direction=direction_of(-influence),
        percentile=round(percentile, 4), exact=exact, blocks=blocks,
    )  # fmt: skip


def _ranked(rows: Mapping[int, ScoredRow], order: Positions) -> tuple[ScoredRow, ...]:
    return tuple(rows[int(position)].model_copy(update={"rank": rank}) for rank, position in enumerate(order, start=1))


def _without_id(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}

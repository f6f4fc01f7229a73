"""From influence to the answer that people read: ranked rows with their text, percentiles, histogram."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from influence.auditing.levels import Levels
from influence.contracts.index import Index
from influence.contracts.query import (
    ComparedBaseline,
    InfluenceLevel,
    Query,
    QueryRequest,
    ScoredRow,
    TestPointResult,
    TokenParts,
)
from influence.ranking.order import Ranking, direction_of, scores_of
from influence.ranking.statistics import Distribution, histogram, percentiles, readable_scales, summarise
from influence.rows.conversations.answers import answer_text
from workers.queries.contributions import Contributions
from workers.queries.scored.influence import Positions, Scored, hold
from workers.queries.test_points import TestPoints
from workers.rows import Row
from workers.runtime.open import open_rows
from workers.runtime.state import Runtime

#: Which rows of an answer may be called exact: those whose gradients were recomputed, on compact storage.
Exactness = Literal["all", "recomputed", "none"]


def rank_points(influence: Scored, request: QueryRequest) -> list[Ranking]:
    """Each test point's rankings of the scored rows, as long as the request wants them."""
    return influence.rank(min(request.k, len(influence.row_indexes)), request.order)


def shown_rows(ranking: Ranking) -> Positions:
    """Positions of all rows that any list of a ranking shows, ascending."""
    return np.unique(np.concatenate([ranking.helpful, ranking.harmful, ranking.absolute]))


class ResultBuilder:
    """Builds results for one query. Positions are places among the scored rows; rows are data set rows."""

    def __init__(
        self,
        runtime: Runtime,
        query: Query,
        index: Index,
        points: TestPoints,
        influence: Scored,
        *,
        exact: Exactness,
        contributions: Contributions | None = None,
        change_scale: float | None = None,
        tokens: Sequence[Mapping[int, TokenParts]] | None = None,
        levels: Levels | None = None,
        compared: Sequence[tuple[ComparedBaseline, ...]] | None = None,
    ) -> None:
        """`exact` says which rows may be called so: all, those that `contributions` tells of, or none; those give
        blocks' parts where asked for. `change_scale` makes predicted changes of loss of scores where the index was
        calibrated, `tokens` is what each token adds to the rows that are shown, by position, `levels` how much a row
        has to stand out, `compared` what baselines would have shown of each test point."""
        self._points = points
        self._span = query.request.span
        self._influence = influence
        self._exact = exact
        self._contributions = contributions
        self._tokens = tokens
        self._levels = levels
        self._compared = compared
        self._block_names = [block.name for block in index.blocks] if "blocks" in query.request.include else None
        self._change_scale = change_scale
        self._rows = open_rows(runtime, index.spec.dataset_id)

    def build(self, rankings: Sequence[Ranking]) -> list[TestPointResult]:
        """One result per test point, from its ranking."""
        distributions = self._influence.describe([shown_rows(ranking) for ranking in rankings])
        pairs = zip(rankings, distributions, strict=True)
        return [self._build_one(number, ranking, scores) for number, (ranking, scores) in enumerate(pairs)]

    def _build_one(self, number: int, ranking: Ranking, scores: Distribution) -> TestPointResult:
        points = self._points
        rows = self._describe(number, shown_rows(ranking), scores)
        prediction = points.predictions[number]
        return TestPointResult(
            example=_content_of(points.rows[number]),
            loss=points.losses[number],
            target_text=self._target_text(points.rows[number]),
            base_loss=None if points.base is None else points.base[number],
            against_loss=None if points.against is None else points.against[number],
            predicted_label=None if prediction is None else prediction.label,
            predicted_probability=None if prediction is None else prediction.probability,
            prediction=None if prediction is None else prediction.text,
            tokens=None if points.tokens is None else points.tokens[number],
            helpful=_ranked(rows, ranking.helpful),
            harmful=_ranked(rows, ranking.harmful),
            absolute=_ranked(rows, ranking.absolute),
            stands_out=None if self._levels is None else self._levels.stands_out(self._all_scores(number)),
            compared=None if self._compared is None else self._compared[number],
            histogram=histogram(scores),
            summary=summarise(scores),
        )

    def _target_text(self, row: Row) -> str | None:
        answer = answer_text(row)
        return None if self._span is None or answer is None else answer[slice(*self._span)]

    def _all_scores(self, number: int) -> NDArray[np.floating[Any]]:
        """Levels compare with all scores of a test point: who asks for them has them here."""
        return scores_of(hold(self._influence).values[number])

    def _describe(self, number: int, shown: Positions, scores: Distribution) -> dict[int, ScoredRow]:
        """Every row that any list shows, by position."""
        influence = self._influence.at(number, shown)
        own = np.asarray(scores_of(influence), np.float32)
        row_indexes = self._influence.row_indexes[shown].tolist()
        percentile = percentiles(scores, own)
        relative, robust_z = readable_scales(scores, own)
        texts = self._rows.read_many(row_indexes)
        parts = {} if self._contributions is None else self._contributions.of(number, shown)
        tokens = {} if self._tokens is None else self._tokens[number]
        levels = [None] * len(shown) if self._levels is None else self._find_levels(number, shown)
        return {
            position: self._score_row(
                row_indexes[place],
                texts[place],
                float(influence[place]),
                float(percentile[place]),
                self._exact == "all" or (self._exact == "recomputed" and position in parts),
                self._name_blocks(parts.get(position)),
                tokens.get(position),
                levels[place],
            ).model_copy(
                update={
                    "relative": float(relative[place]),
                    "robust_z": None if robust_z is None else float(robust_z[place]),
                }
            )
            for place, position in enumerate(shown.tolist())
        }

    def _find_levels(self, number: int, shown: Positions) -> list[InfluenceLevel]:
        assert self._levels is not None
        return self._levels.of(self._all_scores(number), shown.tolist())

    def _name_blocks(self, parts: NDArray[np.float64] | None) -> dict[str, float] | None:
        if parts is None or self._block_names is None:
            return None
        return dict(zip(self._block_names, parts.tolist(), strict=True))

    def _score_row(
        self,
        row_index: int,
        row: Row,
        influence: float,
        percentile: float,
        exact: bool,
        blocks: dict[str, float] | None,
        tokens: TokenParts | None,
        level: InfluenceLevel | None,
    ) -> ScoredRow:
        change = None if self._change_scale is None else -influence * self._change_scale
        return ScoredRow(
            rank=0,
            row_index=row_index,
            row_id=str(row["id"]),
            row=_content_of(row),
            metadata=row.get("metadata"),
            label=row.get("label"),
            influence=influence,
            score=0.0 - influence,
            direction=direction_of(-influence),
            percentile=round(percentile, 4),
            exact=exact,
            predicted_change=change,
            blocks=blocks,
            tokens=tokens,
            influence_level=level,
        )


def _ranked(rows: Mapping[int, ScoredRow], order: Positions) -> tuple[ScoredRow, ...]:
    return tuple(rows[int(position)].model_copy(update={"rank": rank}) for rank, position in enumerate(order, start=1))


def _content_of(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("id", "metadata")}

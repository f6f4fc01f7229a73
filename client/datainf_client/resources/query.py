"""Queries."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from datainf_client.generated import models
from datainf_client.resources.base import Work
from datainf_client.tables.frames import make_frame, query_records
from datainf_client.tables.html import query_html

if TYPE_CHECKING:
    import pandas as pd

_PARQUET = "application/vnd.apache.parquet"


class Query(models.Query, Work):
    """Test points scored against an index. `score` > 0 is helpful: training on the row lowered the loss."""

    collection: ClassVar[str] = "queries"

    def to_pandas(self) -> "pd.DataFrame":
        """One line per ranked row, waited for: `test_point`, `ranking`, `rank`, `row_index`, `row_id`, `score`, ...,
        `row_*` and `metadata_*` for what the row holds."""
        self.wait()
        return make_frame(query_records(self), ("test_point", "ranking", "rank", "row_index", "row_id", "score"))

    def ranked(self, ranking: str = "helpful", test_point: int = 0) -> list[models.ScoredRow]:
        """The rows of one ranking (`helpful`, `harmful`, `absolute`) of one test point, waited for."""
        results = self.wait().results or []
        found: list[models.ScoredRow] = getattr(results[test_point], ranking)
        return found

    def scores(self) -> list[list[float | None]]:
        """Scores of every row of the data set, one list per test point; None where a row is not in the index."""
        found: list[list[float | None]] = self.wait()._session.get(f"{self.path}/scores")["score"]
        return found

    def save_scores(self, target: Path) -> None:
        """Write all scores as Parquet, a column `score_N` per test point beside its influence."""
        self.wait()._session.download(f"{self.path}/scores", target, media_type=_PARQUET)

    def _repr_html_(self) -> str:
        return query_html(self)

"""A query: test points scored against an index. One sign convention: score = -influence, positive is helpful."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, model_validator

from influence.contracts.common import Frozen, Json, Request
from influence.contracts.job import JobState

Order = Literal["helpful", "harmful", "absolute", "both"]
Target = Literal["label", "prediction"]
Aggregate = Literal["each", "mean"]
Direction = Literal["helpful", "harmful"]
Include = Literal["blocks"]
SIGN_CONVENTION = "score>0 is helpful"
MAX_TEST_POINTS = 1024
MAX_K = 10_000


class RowSelection(Request):
    """Test points taken from a stored data set, by row index."""

    dataset_id: str
    row_indexes: list[int] | None = Field(None, description="All rows when left out.")


class QueryRequest(Request):
    """`POST /v1/indexes/{id}/queries`: give `examples` or `rows`, not both."""

    examples: list[dict[str, Any]] | None = Field(
        None,
        min_length=1,
        max_length=MAX_TEST_POINTS,
        examples=[[{"text": "refund still missing", "label": "billing"}]],
    )
    rows: RowSelection | None = None
    target: Target = "label"
    aggregate: Aggregate = "each"
    method: str = "datainf"
    damping_scale: float | None = Field(None, gt=0, le=1e6, allow_inf_nan=False)
    k: int = Field(10, ge=1, le=MAX_K)
    order: Order = "both"
    exact: Literal["auto"] | bool = "auto"
    include: tuple[Include, ...] = ()

    @model_validator(mode="after")
    def _one_source(self) -> "QueryRequest":
        if (self.examples is None) == (self.rows is None):
            raise ValueError("give either 'examples' or 'rows'")
        return self


class ScoredRow(Frozen):
    """One training row in a ranking. `percentile` is the share of rows with a lower score, in 0..100."""

    rank: int
    row_index: int
    row_id: str
    row: Json
    label: int | str | None = None
    influence: float
    score: float
    direction: Direction
    percentile: float
    exact: bool
    blocks: dict[str, float] | None = None


class Histogram(Frozen):
    """Counts of scores between edges; `len(bin_edges) == len(hist) + 1`."""

    hist: tuple[int, ...]
    bin_edges: tuple[float, ...]


class TestPointResult(Frozen):
    """The answer for one test point, or for the mean of all of them."""

    __test__ = False  # not a pytest class

    example: Json
    loss: float
    predicted_label: int | str | None = None
    predicted_probability: float | None = None
    prediction: str | None = None
    helpful: tuple[ScoredRow, ...] = ()
    harmful: tuple[ScoredRow, ...] = ()
    absolute: tuple[ScoredRow, ...] = ()
    histogram: Histogram
    summary: dict[str, float]


class Query(Frozen):
    """A query and, once its job succeeded, its results."""

    id: str
    index_id: str
    job_id: str
    state: JobState
    request: QueryRequest
    method: str
    sign_convention: str = SIGN_CONVENTION
    damping_scale: float | None = None
    rows_scored: int | None = None
    storage: str | None = None
    fidelity: Json | None = None
    milliseconds: dict[str, float] | None = None
    notes: tuple[str, ...] = ()
    results: tuple[TestPointResult, ...] | None = None
    error: Json | None = None
    created_at: datetime

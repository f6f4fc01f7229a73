"""Test points: what queries and sweeps ask about."""

from typing import Any, Literal

from pydantic import Field, model_validator

from influence.contracts.common import Request

Target = Literal["label", "prediction"]
MAX_TEST_POINTS = 1024


class RowSelection(Request):
    """Test points taken from a stored data set, by row index."""

    dataset_id: str
    row_indexes: list[int] | None = Field(None, description="All rows when left out.")


class PointSource(Request):
    """Where test points come from: `examples` or `rows`, not both."""

    examples: list[dict[str, Any]] | None = Field(
        None,
        min_length=1,
        max_length=MAX_TEST_POINTS,
        examples=[[{"text": "refund still missing", "label": "billing"}]],
    )
    rows: RowSelection | None = None
    target: Target = Field("label", description="Loss on the label, or on the model's own prediction.")

    @model_validator(mode="after")
    def _one_source(self) -> "PointSource":
        if (self.examples is None) == (self.rows is None):
            raise ValueError("give either 'examples' or 'rows'")
        return self

    @property
    def sources(self) -> frozenset[str]:
        """Ids of the data sets that the points come from."""
        return frozenset() if self.rows is None else frozenset({self.rows.dataset_id})

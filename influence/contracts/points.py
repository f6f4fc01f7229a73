"""Test points: what queries and sweeps ask about."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from influence.contracts.common import Request
from influence.contracts.dataset import LabelValue

Target = Literal["label", "prediction"]
MAX_TEST_POINTS = 1024


class RowSelection(Request):
    """Test points taken from a stored data set, by row index."""

    dataset_id: str
    row_indexes: list[int] | None = Field(None, description="All rows when left out.")


Character = Annotated[int, Field(ge=0)]


class SpanTarget(Request):
    """A part of the answer: characters [start, end) of the completion, the last assistant turn or the plain text."""

    span: tuple[Character, Character] = Field(examples=[[0, 12]])

    @field_validator("span")
    @classmethod
    def _not_empty(cls, span: tuple[int, int]) -> tuple[int, int]:
        if span[0] >= span[1]:
            raise ValueError("the span ends where it starts, or before")
        return span


class GenerationSettings(Request):
    """How an image is made where the model is asked for its own: `target` 'prediction'."""

    seed: int = Field(0, ge=0, lt=1 << 32, description="Seed of the noise that it begins with.")
    steps: int = Field(25, ge=1, le=1000, description="Steps of DDIM.")
    guidance_scale: float = Field(
        7.5, ge=1, le=100, allow_inf_nan=False, description="Classifier-free guidance; 1 is none."
    )


class PointSource(Request):
    """Where test points come from: `examples` or `rows`, not both."""

    examples: list[dict[str, Any]] | None = Field(
        None,
        min_length=1,
        max_length=MAX_TEST_POINTS,
        examples=[[{"text": "refund still missing", "label": "billing"}]],
    )
    rows: RowSelection | None = None
    target: Target | SpanTarget = Field(
        "label", description="Loss on the label, on the model's own prediction, or on a part of the answer."
    )
    against: LabelValue | None = Field(
        None,
        description="Another completion or label of the test points: why the one and not the other. Scores are then of"
        " the difference of the two losses.",
        examples=["delivery"],
    )
    generation: GenerationSettings | None = Field(
        None, description="How the image is made that target 'prediction' asks an image model for."
    )

    @model_validator(mode="after")
    def _one_source(self) -> "PointSource":
        if (self.examples is None) == (self.rows is None):
            raise ValueError("give either 'examples' or 'rows'")
        return self

    @model_validator(mode="after")
    def _whole_answers(self) -> "PointSource":
        if self.against is not None and self.span is not None:
            raise ValueError("'against' compares whole answers: leave it out, or the span in 'target'")
        return self

    @property
    def span(self) -> tuple[int, int] | None:
        """Characters of the answer that the loss falls on; None for all of it."""
        return self.target.span if isinstance(self.target, SpanTarget) else None

    @property
    def sources(self) -> frozenset[str]:
        """Ids of the data sets that the points come from."""
        return frozenset() if self.rows is None else frozenset({self.rows.dataset_id})

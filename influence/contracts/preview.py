"""A preview: what a few rows look like to the model, before anything is built."""

from pydantic import Field, model_validator

from influence.contracts.common import Frozen, Json, LossScope, MaxLength, Reduction, Request
from influence.contracts.index import DEFAULT_MAX_LENGTH, OnTooLong, Precision
from influence.contracts.work_record import WorkRecord

MAX_PREVIEW_ROWS = 20
DEFAULT_PREVIEW_ROWS = 5


class PreviewRequest(Request):
    """`POST /v1/datasets/{id}/preview`: the first five rows unless `offset` or `row_indexes` say otherwise."""

    checkpoint_id: str = Field(examples=["ckpt_3f1c"])
    max_length: MaxLength | None = Field(
        None, description=f"Tokens per row; by default as an index takes them: as in training, or {DEFAULT_MAX_LENGTH}."
    )
    on_too_long: OnTooLong = "truncate"
    precision: Precision = "float32"
    loss: LossScope | None = Field(None, description="Which tokens carry loss; by default what the rows imply.")
    reduction: Reduction = Field("mean", description="Whether a row's loss is the mean or the sum over its tokens.")
    offset: int = Field(0, ge=0, description="First row to show.")
    row_indexes: list[int] | None = Field(
        None, min_length=1, max_length=MAX_PREVIEW_ROWS, description="These rows; a stored preview names its rows here."
    )

    @model_validator(mode="after")
    def _one_choice(self) -> "PreviewRequest":
        if self.offset and self.row_indexes is not None:
            raise ValueError("give either 'offset' or 'row_indexes'")
        return self


class PreviewRow(Frozen):
    """One row as the model reads it: `supervised[i]` says whether `tokens[i]` carries loss.

    Its loss is the mean or the sum over `supervised_tokens` of them. `image` is what a model of images sees, after its
    own image processor: width, height, and `png`, the image in base64; `rendered` then says what was done to it.
    """

    row_index: int
    row_id: str
    rendered: str
    tokens: tuple[str, ...]
    supervised: tuple[bool, ...]
    supervised_tokens: int = 0
    truncated: bool = False
    image: Json | None = None


class Preview(WorkRecord):
    """A preview and, once its job succeeded, its rows."""

    dataset_id: str
    checkpoint_id: str
    request: PreviewRequest
    rows: tuple[PreviewRow, ...] | None = None

    @property
    def sources(self) -> frozenset[str]:
        return frozenset({self.dataset_id, self.checkpoint_id})

"""A data set: normalised rows, never reordered."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from influence.contracts.common import Frozen, Json, Request

#: What a normalised row holds beside `id`:
#: classification: text, text_pair?, label?   completion: prompt, completion   conversation: messages   text: text
#: and, where the columns name one, the class of a row that has no label: class
RowKind = Literal["classification", "completion", "conversation", "text"]


class DatasetRequest(Request):
    """JSON form of `POST /v1/datasets`: a path under the allowed roots or a hub id."""

    path: str | None = Field(None, description="A JSONL, JSON, CSV or Parquet file, or an Arrow data set folder.")
    hub_id: str | None = Field(None, examples=["stanfordnlp/sst2"])
    revision: str | None = None
    split: str | None = Field(None, examples=["train"])
    columns: dict[str, str] | None = Field(None, description="Role to column, e.g. {'text': 'body', 'label': 'y'}.")
    label_names: list[str] | None = Field(None, description="Class names in the order of the classes.")
    name: str | None = None


class RowProblem(Frozen):
    """Something worth knowing about rows: `rows` are the first row indexes concerned, `count` is all of them."""

    code: Literal["empty_text", "duplicate", "missing_label", "conflicting_label"]
    count: int
    rows: tuple[int, ...]
    message: str


class Dataset(Frozen):
    """An accepted data set. `statistics` holds counts (labels, characters), `problems` what looks wrong."""

    id: str
    name: str | None = None
    kind: RowKind
    columns: dict[str, str]
    rows: int
    bytes: int
    label_names: tuple[str, ...] | None = None
    statistics: Json
    problems: tuple[RowProblem, ...] = ()
    created_at: datetime


class DatasetRow(Frozen):
    """One row as the API shows it."""

    row_index: int
    row_id: str
    row: Json


class RowPage(Frozen):
    """Consecutive rows out of `rows`; pass `next` back as `offset` for the following ones."""

    data: list[DatasetRow]
    has_more: bool
    next: int | None = None
    rows: int

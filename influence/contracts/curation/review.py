"""A review: what people decided about the rows of a data set, kept beside it and never in it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from influence.contracts.common import MAX_NAME_CHARACTERS, Frozen, Json, Record, Request
from influence.contracts.curation.conditions import RowSearch
from influence.contracts.dataset import DatasetRow

Action = Literal["keep", "relabel", "remove", "later"]
ExportMode = Literal["cleaned", "annotated", "removed"]
MAX_NOTE_CHARACTERS = 2000
#: Decisions per call; a bulk decision may cover more rows of an audit.
MAX_DECISIONS = 10_000
MAX_BULK_ROWS = 100_000

Reviewer = Annotated[str, Field(min_length=1, max_length=100)]
Note = Annotated[str, Field(max_length=MAX_NOTE_CHARACTERS)]


class ReviewRequest(Request):
    """`POST /v1/reviews`."""

    dataset_id: str = Field(examples=["ds_77aa"])
    name: str | None = Field(None, min_length=1, max_length=MAX_NAME_CHARACTERS)
    audit_id: str | None = Field(
        None, description="A finished audit of an index over this data set: its order, filters and suggested labels."
    )


class DecisionChange(Request):
    """One decision. `action: null` takes the row's decision back; `label` goes with `relabel` alone."""

    row_index: int = Field(ge=0)
    action: Action | None
    label: int | str | None = None
    note: Note | None = None

    @model_validator(mode="after")
    def _label_goes_with_relabel(self) -> "DecisionChange":
        if self.action == "relabel" and self.label is None:
            raise ValueError("the action 'relabel' needs a 'label'")
        if self.action != "relabel" and self.label is not None:
            raise ValueError("'label' goes with the action 'relabel', and with no other")
        return self


class DecisionsRequest(Request):
    """`PATCH /v1/reviews/{id}/decisions`."""

    decisions: list[DecisionChange] = Field(min_length=1, max_length=MAX_DECISIONS)
    by: Reviewer | None = Field(None, description="Who decides, as it is to stand in the history.")

    @model_validator(mode="after")
    def _one_decision_per_row(self) -> "DecisionsRequest":
        rows = [decision.row_index for decision in self.decisions]
        if len(set(rows)) < len(rows):
            raise ValueError("a row stands twice in 'decisions'")
        return self


class BulkFilter(RowSearch):
    """Rows by the same conditions as `GET /v1/reviews/{id}/rows`; all of them have to hold. Those that are named here
    are figures of the review's audit."""

    label: str | None = None
    predicted: str | None = None
    disagree: bool | None = None
    min_suspicion: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)

    @property
    def asks_audit(self) -> bool:
        """Whether only an audit can answer."""
        return any(one is not None for one in (self.label, self.predicted, self.disagree, self.min_suspicion))


class BulkRequest(Request):
    """`POST /v1/reviews/{id}/decisions/bulk`: one action for many rows."""

    row_indexes: list[int] | None = Field(None, min_length=1, max_length=MAX_BULK_ROWS)
    filter: BulkFilter | None = None
    top: int | None = Field(None, ge=1, le=MAX_BULK_ROWS, description="The first so many of those that fit.")
    sort: str = Field(
        "suspicion", max_length=300, description="What 'top' counts by, highest first: a figure, or a metadata column."
    )
    action: Action
    label_from: Literal["predicted"] | None = Field(None, description="Relabel to what the model answers.")
    label: int | str | None = Field(None, description="Relabel to this label.")
    note: Note | None = None
    by: Reviewer | None = None
    overwrite: bool = Field(False, description="Also rows that have a decision already.")
    dry_run: bool = Field(False, description="Say what would change and change nothing.")

    @model_validator(mode="after")
    def _sound(self) -> "BulkRequest":
        if self.row_indexes is not None and (self.filter is not None or self.top is not None):
            raise ValueError("give either 'row_indexes', or 'filter' and 'top'")
        if self.row_indexes is None and self.filter is None and self.top is None:
            raise ValueError("say which rows: 'row_indexes', 'filter' or 'top'")
        if (self.action == "relabel") != (self.label_from is not None or self.label is not None):
            raise ValueError("'relabel' needs 'label_from' or 'label', and no other action takes them")
        if self.label_from is not None and self.label is not None:
            raise ValueError("give either 'label_from' or 'label'")
        return self


class UndoRequest(Request):
    """`POST /v1/reviews/{id}/undo`."""

    by: Reviewer | None = Field(None, description="The last change of this reviewer; of anyone when left out.")


class Decision(Frozen):
    """What was decided about a row, and the version of the review that decided it."""

    row_index: int
    action: Action
    label: int | str | None = None
    note: str | None = None
    by: str | None = None
    at: datetime
    version: int


class Conflict(Frozen):
    """A change that was not made, because the row had been decided anew since the version that the caller knew."""

    row_index: int
    current: Decision | None


class DecisionsAnswer(Frozen):
    """What a change did. `version` is the review's after it."""

    applied: int
    version: int
    conflicts: tuple[Conflict, ...] = ()


class BulkAnswer(Frozen):
    """What a bulk decision did, or would do. `per_class` counts rows by their present label."""

    rows: int
    skipped: int
    per_class: dict[str, int] | None = None
    samples: tuple[Json, ...] = ()
    dry_run: bool
    version: int


class DecisionPage(Frozen):
    """Decisions, the newest first; pass `next` back as `offset`."""

    data: list[Decision]
    has_more: bool
    next: int | None = None
    decisions: int
    version: int


class ReviewedRow(DatasetRow):
    """A row with what was decided of it, and the figures of the review's audit where it has one."""

    decision: Decision | None = None
    figures: Json | None = None


class ReviewedRowPage(Frozen):
    """Rows in the order asked for, out of `rows` that fit; pass `next` back as `offset`."""

    data: list[ReviewedRow]
    has_more: bool
    next: int | None = None
    rows: int
    version: int


class HistoryEntry(Frozen):
    """One change: how many rows it decided, by whom. `undoes` names the version that it took back."""

    version: int
    at: datetime
    by: str | None = None
    rows: int
    action: Action | None = None
    undoes: int | None = None


class HistoryPage(Frozen):
    """Changes, the newest first; pass `next` back as `offset`."""

    data: list[HistoryEntry]
    has_more: bool
    next: int | None = None
    version: int


class ReviewProgress(Frozen):
    """How far a review is. `hit_rate` is the share of the last 20 decisions that changed or removed a row."""

    rows: int
    decided: int
    keep: int = 0
    relabel: int = 0
    remove: int = 0
    later: int = 0
    hit_rate: float | None = None


class Review(Record):
    """A review as the API shows it; `version` counts its changes, `progress` is made when it is read."""

    dataset_id: str
    audit_id: str | None = None
    name: str | None = None
    rows: int
    version: int = 0
    progress: ReviewProgress | None = None


class ApplyAnswer(Frozen):
    """The data set that a review makes, and what became of the rows."""

    dataset_id: str
    is_new: bool
    rows_in: int
    rows_out: int
    removed: int
    relabelled: int

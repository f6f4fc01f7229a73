"""Groups: training rows taken together by a column or by their label, and what each group does to evaluation rows."""

from typing import Annotated

from pydantic import Field, model_validator

from influence.contracts.common import DampingScale, Frozen, Json, Request
from influence.contracts.curation.conditions import RowSearch
from influence.contracts.evaluation.experiment import TrainingRecipe
from influence.contracts.points import RowSelection
from influence.contracts.query import SIGN_CONVENTION
from influence.contracts.work_record import WorkRecord

#: A column with more values than this names rows, not groups.
MAX_GROUPS = 200
MAX_EVALUATION_ROWS = 10_000
#: Groups by the class that the model answers to each training row.
PREDICTED = "predicted"
#: All rows as one group.
ALL = "all"

Percent = Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)]


class GroupsRequest(Request):
    """`POST /v1/indexes/{id}/groups`."""

    by: str = Field(
        description="'label', 'predicted' (the class that the model answers), a metadata column of the data set, "
        "'metadata.NAME' where one has such a name, or 'all' for one group of all rows.",
        examples=["source"],
    )
    evaluation: RowSelection = Field(description="Rows whose labels are trusted: scores are means over them.")
    method: str = Field("datainf", description="A method that the index offers, or 'auto', as for a query.")
    damping_scale: DampingScale | None = None
    audit_id: str | None = Field(
        None, description="A finished audit of the index, whose suspicion is told by group; the newest if left out."
    )


class GroupRow(Frozen):
    """A row named in a group, with its mean score over the evaluation rows."""

    row_index: int
    row_id: str
    score: float
    row: Json


class GroupSummary(Frozen):
    """One group. Scores are means over evaluation rows, positive is helpful; `low` and `high` are the ends of the 95 %
    interval of `mean_score`, over evaluation rows drawn anew, `sum_low` and `sum_high` those of `sum_score`.
    `mean_suspicion` is that of an audit, null where there was none. `share_of_helpful` and `share_of_harmful` are of
    the most helpful and the most harmful tenth of all rows. `by_class` is the mean score on evaluation rows of each
    class, in the order of `classes`; null where there are none. `place` is the group's number, the same whatever the
    order."""

    group: str | None
    place: int
    rows: int
    share: float
    mean_score: float
    low: float
    high: float
    sum_score: float
    sum_low: float | None = None
    sum_high: float | None = None
    share_of_helpful: float
    share_of_harmful: float
    mean_loss: float | None = None
    mean_suspicion: float | None = None
    by_class: tuple[float | None, ...] | None = None
    best: tuple[GroupRow, ...]
    worst: tuple[GroupRow, ...]


class Groups(WorkRecord):
    """Groups and, once their job succeeded, the figures of each, the most helpful first. `method_reason` says why the
    method was taken where the request left it open ('auto'), `audit_id` whose suspicion is told."""

    only_alone = frozenset({"groups"})

    index_id: str
    request: GroupsRequest
    method: str
    method_reason: str | None = None
    sign_convention: str = SIGN_CONVENTION
    audit_id: str | None = None
    rows: int
    damping_scale: float | None = None
    evaluation_rows: int | None = None
    classes: tuple[str, ...] | None = None
    groups: tuple[GroupSummary, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def sources(self) -> frozenset[str]:
        return frozenset({self.index_id, self.request.evaluation.dataset_id})


class Lowest(Request):
    """The rows of lowest mean score, or of lowest value in a metadata column: a percentage of all."""

    percent: Percent
    by: str = Field(
        "score",
        min_length=1,
        max_length=300,
        description="'score', or a metadata column; rows without a value there stay.",
    )


class RemovedRows(Request):
    """Which rows are left out: one of these."""

    row_indexes: list[int] | None = Field(None, min_length=1, max_length=1_000_000)
    lowest: Lowest | None = None
    review_id: str | None = Field(None, description="The rows that a review removes.")
    group: str | None = Field(None, description="All rows of one group.")
    filter: RowSearch | None = Field(
        None, description="Rows by what they hold; the column 'score' is the mean score that the groups keep."
    )

    @model_validator(mode="after")
    def _filter_asks(self) -> "RemovedRows":
        if self.filter is not None and not self.filter.asks:
            raise ValueError("'filter' asks nothing: give 'where' or 'q'")
        return self

    @model_validator(mode="after")
    def _one_of_them(self) -> "RemovedRows":
        if sum(getattr(self, name) is not None for name in type(self).model_fields) != 1:
            raise ValueError("give one of 'row_indexes', 'lowest', 'review_id', 'group' and 'filter'")
        return self


class WhatIfRequest(Request):
    """`POST /v1/groups/{id}/what-if`."""

    remove: RemovedRows
    verify: bool = Field(False, description="Train again without these rows, and without as many at random.")
    repeats: int = Field(3, ge=1, le=100, description="Trainings on all rows, without these, without others.")
    recipe: TrainingRecipe = Field(TrainingRecipe(), description="How to train; as the checkpoint was, to be fair.")
    max_seconds: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Refuse to verify where it is estimated to take longer."
    )


class IndexWhatIfRequest(WhatIfRequest):
    """`POST /v1/indexes/{id}/what-if`: the same, of groups that are made where nobody has asked for them yet."""

    evaluation: RowSelection = Field(description="Rows whose labels are trusted: scores are means over them.")
    by: str | None = Field(
        None, description="Groups whose balance is told, as for groups: by label where rows have one, else all in one."
    )
    method: str = Field("datainf", description="A method that the index offers, or 'auto', as for a query.")
    damping_scale: DampingScale | None = None


class Balance(Frozen):
    """Rows of one class or group before and after."""

    name: str | None
    before: int
    after: int


class CurvePoint(Frozen):
    """What leaving out the lowest `percent` of rows is predicted to do."""

    percent: float
    rows: int
    effect: float


class Cost(Frozen):
    """What training again takes: trainings, their steps, and seconds on one worker at the rate at which the index's
    gradients were computed; null where that is not known."""

    trainings: int
    steps: int
    seconds: float | None = None


class WhatIf(Frozen):
    """What scores say of leaving rows out. `effect` is the sum of their mean scores: above 0, the loss would rise.

    `percentile` is the share of random sets of the same size with a lower sum. `predicted_change` is in units of loss;
    only where the index was calibrated for the method and damping, with `predicted_low` to `predicted_high` by the
    interval of the calibration's factor, which does not hold the noise of a single training. `cost` is that of
    verifying; `evaluation_id` names the evaluation that does it, whose report has what was predicted beside what is
    measured. `method`, `damping_scale` and `method_reason` are those of the groups whose scores are asked.
    """

    method: str
    damping_scale: float | None = None
    method_reason: str | None = None
    rows_removed: int
    rows_left: int
    effect: float
    percentile: float
    random_mean: float
    random_low: float
    random_high: float
    predicted_change: float | None = None
    predicted_low: float | None = None
    predicted_high: float | None = None
    groups: tuple[Balance, ...]
    labels: tuple[Balance, ...] | None = None
    curve: tuple[CurvePoint, ...]
    warnings: tuple[str, ...] = ()
    cost: Cost
    evaluation_id: str | None = None
    job_id: str | None = None

"""An audit: the training rows of an index, ranked by evidence that their label is wrong. score = -influence."""

from datetime import datetime
from typing import Literal

from pydantic import Field, model_validator

from influence.contracts.common import DampingScale, Frozen, Json, Named
from influence.contracts.dataset import LabelValue, RowKind
from influence.contracts.points import RowSelection
from influence.contracts.query import SIGN_CONVENTION, Direction
from influence.contracts.tasks import TaskName
from influence.contracts.work_record import WorkRecord

Signal = Literal["loss", "self_influence", "influence", "margin", "probability", "predicted"]
AuditSort = Literal["suspicion", "loss", "self_influence", "score", "probability", "margin", "row_index"]
MAX_EVALUATION_ROWS = 100_000


class AuditRequest(Named):
    """`POST /v1/indexes/{id}/audits`."""

    evaluation: RowSelection | None = Field(
        None, description="Rows with labels that are trusted: the influence on their mean loss is a signal."
    )
    signals: tuple[Signal, ...] | None = Field(
        None, min_length=1, description="What counts as odd; all that the task and the request allow when left out."
    )
    method: str = Field(
        "datainf",
        description="Of influence and self-influence; 'auto' as for a query, among methods that have the latter.",
    )
    damping_scale: DampingScale | None = Field(None, description="Damping; the method's own default when left out.")
    weights: dict[Signal, float] | None = Field(
        None,
        description="How much a signal's ranks count in suspicion; 0 shows a signal without counting it. By default "
        "the loss counts alone, or, of signals that are named, each that says something of its own.",
    )

    @model_validator(mode="after")
    def _sound(self) -> "AuditRequest":
        if self.signals is not None and len(set(self.signals)) < len(self.signals):
            raise ValueError("a signal stands twice in 'signals'")
        if any(not 0 <= weight <= 1e6 for weight in (self.weights or {}).values()):
            raise ValueError("weights have to be numbers from 0 to 1e6")
        return self


class SignalUse(Frozen):
    """A signal of an audit: what it says of a row, and how much its ranks count in suspicion."""

    name: Signal
    meaning: str
    weight: float


class Suspect(Frozen):
    """A row named in a summary."""

    row_index: int
    row_id: str
    suspicion: float


class ClassSummary(Frozen):
    """The rows that carry one label. `accuracy` is the share of them for which the model answers that label."""

    label: int | str
    rows: int
    mean_loss: float
    accuracy: float | None = None
    mean_suspicion: float
    most_suspicious: tuple[Suspect, ...]


class Confusion(Frozen):
    """`counts[i][j]` rows carry label i and are predicted as label j."""

    labels: tuple[int | str, ...]
    counts: tuple[tuple[int, ...], ...]


class Audit(WorkRecord):
    """An audit and, once its job succeeded, its summary; the rows are read apart, for they grow with the data set.

    `columns` are those that its table has. `not_audited` names rows that the index left out. `method_reason` says why
    the method was taken where the request left it open ('auto').
    """

    only_alone = frozenset({"classes", "confusion", "not_audited"})

    name: str | None = None
    index_id: str
    request: AuditRequest
    method: str
    method_reason: str | None = None
    damping_scale: float | None = None
    sign_convention: str = SIGN_CONVENTION
    signals: tuple[SignalUse, ...]
    dataset_id: str
    kind: RowKind
    task: TaskName
    label_names: tuple[str, ...] | None = None
    rows: int
    rows_audited: int | None = None
    not_audited: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    evaluation_rows: int | None = None
    evaluation_loss: float | None = None
    accuracy: float | None = None
    classes: tuple[ClassSummary, ...] | None = None
    confusion: Confusion | None = None
    storage: str | None = None
    fidelity: Json | None = None
    notes: tuple[str, ...] = ()
    finished_at: datetime | None = None

    @property
    def sources(self) -> frozenset[str]:
        trusted = () if self.request.evaluation is None else (self.request.evaluation.dataset_id,)
        return frozenset({self.index_id, self.dataset_id, *trusted})

    @property
    def signal_names(self) -> tuple[Signal, ...]:
        return tuple(signal.name for signal in self.signals)

    def spell(self, label: int) -> int | str:
        """A class as people know it: by name where the checkpoint names its classes."""
        return label if self.label_names is None else self.label_names[label]


class AuditedRow(Frozen):
    """One training row of an audit. What the audit did not compute is null."""

    row_index: int
    row_id: str
    row: Json
    metadata: Json | None = None
    suspicion: float
    label: LabelValue | None = None
    predicted_label: int | str | None = None
    probability: float | None = None
    predicted_probability: float | None = None
    margin: float | None = None
    loss: float
    self_influence: float | None = None
    influence: float | None = None
    score: float | None = None
    direction: Direction | None = None


class AuditedRowPage(Frozen):
    """Rows of an audit in the order asked for, out of `rows` that fit the filters; pass `next` back as `offset`."""

    data: list[AuditedRow]
    has_more: bool
    next: int | None = None
    rows: int

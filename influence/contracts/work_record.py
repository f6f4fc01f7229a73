"""What long work makes: a record with a state, and how far it is."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal, Self

from influence.contracts.common import Frozen, Json, Record

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FINAL_STATES: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


class Progress(Frozen):
    """How far a job is: `done` of `total` units of the phase it is in, one of `phases`.

    `share` of the phase is done, also of a unit in hand; `rate` is units of the phase per second. `eta_seconds` is an
    estimate for the whole job, its later phases included. All three are None until known.
    """

    phase: str = "queued"
    done: int = 0
    total: int = 0
    unit: str = "rows"
    share: float | None = None
    rate: float | None = None
    eta_seconds: float | None = None
    phases: tuple[str, ...] = ()
    note: Json | None = None


class WorkRecord(Record):
    """A resource that long work makes, with the job that carries it out. Every kind of work has a subclass.

    Lists leave out what `only_alone` names: it grows with the work.
    """

    only_alone: ClassVar[frozenset[str]] = frozenset()

    job_id: str
    state: JobState
    error: Json | None = None

    @property
    def data_id(self) -> str:
        """What the names of the data beside it begin with."""
        return self.id

    @property
    @abstractmethod
    def sources(self) -> frozenset[str]:
        """Ids of the resources that it is made from, and may quote."""

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    def lighten(self) -> Self:
        """The record as lists show it."""
        fields = type(self).model_fields
        left_out: dict[str, Any] = {name: fields[name].get_default() for name in self.only_alone}
        return self.model_copy(update=left_out)

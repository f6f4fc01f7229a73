"""Long work and how it is doing."""

from datetime import datetime

from influence.contracts.common import DEFAULT_NAMESPACE, Frozen, Json
from influence.contracts.work import JobKind
from influence.contracts.work_record import FINAL_STATES, JobState, Progress


class Job(Frozen):
    """One piece of asynchronous work. `resource` is the path of what it makes."""

    id: str
    kind: JobKind
    resource_id: str
    resource: str
    state: JobState = "queued"
    progress: Progress = Progress()
    error: Json | None = None
    namespace: str = DEFAULT_NAMESPACE
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

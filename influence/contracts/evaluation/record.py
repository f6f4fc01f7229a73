"""An evaluation as it is kept.

Its work is cut into pieces that depend on nothing but the request, so that they can be computed by any worker, in any
order, twice, and after a restart; the report is made when all are there.
"""

from datetime import datetime

from influence.contracts.checkpoint import BaseModelRef
from influence.contracts.common import Frozen
from influence.contracts.evaluation.experiment import EvaluationRequest
from influence.contracts.evaluation.report import Report
from influence.contracts.tasks import TaskName
from influence.contracts.work_record import Progress, WorkRecord


class Subject(Frozen):
    """What a request was resolved to when it was accepted: nothing is looked up by name later."""

    task: TaskName
    base_model: BaseModelRef | None
    dataset_id: str
    num_labels: int | None = None
    label_names: tuple[str, ...] | None = None


class Evaluation(WorkRecord):
    """An evaluation as the API shows it. `progress` is the job's while it runs."""

    only_alone = frozenset({"report"})

    name: str | None = None
    request: EvaluationRequest
    subject: Subject
    pieces: int = 0
    report: Report | None = None
    progress: Progress | None = None
    finished_at: datetime | None = None

    @property
    def sources(self) -> frozenset[str]:
        named = (self.request.index_id, self.subject.dataset_id, self.request.evaluation_dataset_id)
        return frozenset(source for source in named if source is not None)

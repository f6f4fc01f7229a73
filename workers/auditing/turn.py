"""One turn of an audit: as many pieces as fit a second, then the others on the queue; the last turn finishes it."""

import time

from influence.auditing.signals import has_classes
from influence.contracts.audit import Audit
from influence.errors import WorkerDied
from influence.store.work import send_following
from workers.auditing.evaluation import EvaluationStage
from workers.auditing.finish import Work, finish_audit
from workers.auditing.labels import LabelStage
from workers.auditing.self_influence import SelfInfluenceStage
from workers.auditing.stages import Stage, Subject
from workers.indexes.open import open_index
from workers.runtime.interrupts import check_wanted
from workers.runtime.state import Runtime
from workers.runtime.time_slices import slice_deadline

#: A turn that has been begun so often kills its workers; the audit fails instead of going on for ever.
MAX_ATTEMPTS = 5
#: Turns come one after another, so one count is enough: it is cleared at the end of each.
_TURN = 0


def audit_index(runtime: Runtime, audit: Audit) -> None:
    """Work on an audit for one turn. Safe to run twice.

    Raises IndexNotReady, Cancelled, RowsRefused for rows whose signals are not numbers, WorkerDied.
    """
    if runtime.store.jobs.count_attempt(audit.job_id, _TURN) > MAX_ATTEMPTS:
        raise WorkerDied(f"A turn of the audit was begun {MAX_ATTEMPTS} times and never ended.")
    opened = open_index(runtime, audit.index_id, audit.job_id, audit.method)
    subject = Subject(runtime, audit, opened.index, opened.model, opened.hot)
    work = make_work(subject)
    until = slice_deadline()
    if all(complete(subject, stage, until) for stage in work.stages) and finish_audit(subject, work):
        return
    check_wanted(runtime, audit.job_id)
    runtime.store.jobs.clear_attempts(audit.job_id, _TURN)
    send_following(runtime.store, audit)


def make_work(subject: Subject) -> Work:
    """The stages that the audit's signals need, with what earlier turns have done."""
    names = subject.audit.signal_names
    return Work(
        labels=LabelStage(subject) if has_classes(subject.audit.task) else None,
        evaluation=EvaluationStage(subject) if "influence" in names else None,
        self_influence=SelfInfluenceStage(subject) if "self_influence" in names else None,
    )


def complete(subject: Subject, stage: Stage, until: float) -> bool:
    """Work on a stage until the moment `until`, at least for one piece; whether it is complete."""
    runtime, job_id = subject.runtime, subject.audit.job_id
    if stage.done < stage.total:
        runtime.store.jobs.continue_phase(job_id, stage.phase, total=stage.total)
    while stage.done < stage.total:
        stage.advance()
        check_wanted(runtime, job_id)
        runtime.store.jobs.set_done(job_id, min(stage.done, stage.total))
        if time.monotonic() > until:
            break
    stage.keep()
    return stage.done >= stage.total

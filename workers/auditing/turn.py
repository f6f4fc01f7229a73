"""One slice of an audit: as many pieces as fit a second, then the others on the queue; the last slice finishes it."""

import time

from influence.auditing.signals import has_classes
from influence.contracts.audit import Audit
from influence.store.work import send_following
from workers.auditing.evaluation import EvaluationStage
from workers.auditing.finish import Work, finish_audit
from workers.auditing.labels import LabelStage
from workers.auditing.self_influence import SelfInfluenceStage
from workers.auditing.stages import AuditedIndex, Stage
from workers.building.attempts import attempt
from workers.indexes.open import open_index
from workers.runtime.interrupts import check_wanted
from workers.runtime.state import Runtime
from workers.runtime.time_slices import slice_deadline

#: Time slices come one after another, so that one count is enough.
_SLICE = 0


def audit_index(runtime: Runtime, audit: Audit) -> None:
    """Work on an audit for one time slice. Safe to run twice.

    Raises IndexNotReady, Cancelled, RowsRefused for rows whose signals are not numbers, WorkerDied.
    """
    with attempt(runtime, audit.job_id, _SLICE, "A slice of the audit"):
        is_finished = _work_on(runtime, audit)
    if not is_finished:
        check_wanted(runtime, audit.job_id)
        send_following(runtime.store, audit)


def _work_on(runtime: Runtime, audit: Audit) -> bool:
    """Do what fits one slice; whether the audit is finished."""
    opened = open_index(runtime, audit.index_id, audit.job_id, audit.method)
    audited = AuditedIndex(runtime, audit, opened.index, opened.model, opened.hot)
    work = make_work(audited)
    rate = audited.gradients_per_second
    outlook = {stage.phase: stage.total * stage.gradients_per_row / rate for stage in work.stages}
    runtime.store.jobs.expect(audit.job_id, outlook)
    until = slice_deadline()
    return all(complete(audited, stage, until) for stage in work.stages) and finish_audit(audited, work)


def make_work(audited: AuditedIndex) -> Work:
    """The stages that the audit's signals need, with what earlier turns have done."""
    names = audited.audit.signal_names
    return Work(
        labels=LabelStage(audited) if has_classes(audited.audit.task) else None,
        evaluation=EvaluationStage(audited) if "influence" in names else None,
        self_influence=SelfInfluenceStage(audited) if "self_influence" in names else None,
    )


def complete(audited: AuditedIndex, stage: Stage, until: float) -> bool:
    """Work on a stage until the moment `until`, at least for one piece; whether it is complete."""
    runtime, job_id = audited.runtime, audited.audit.job_id
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

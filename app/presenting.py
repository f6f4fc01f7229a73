"""What a record and its job say together."""

from typing import TypeVar

from influence.contracts.audit import Audit
from influence.contracts.common import Json
from influence.contracts.evaluation import Evaluation
from influence.contracts.index import Index
from influence.contracts.job import FINAL_STATES
from influence.contracts.preview import Preview
from influence.contracts.query import Query
from influence.contracts.sweep import Sweep
from influence.store.store import Store

Work = TypeVar("Work", Query, Preview, Sweep, Audit, Evaluation, Index)


def present_work(store: Store, work: Work) -> Work:
    """The record with what its job knows better while it is not final: the state, and the progress if it shows one."""
    if work.state in FINAL_STATES:
        return work
    job = store.jobs.find(work.job_id)
    if job is None or job.state == "succeeded":
        return work
    known: Json = {"state": job.state, "error": work.error or job.error}
    if "progress" in type(work).model_fields:
        known["progress"] = job.progress
    return work.model_copy(update=known)

"""Leaving rows of an index out, where nobody has asked for groups yet: they are found, or made."""

from app.checks.readiness import require_ready
from app.http.idempotency import Accepted
from app.queries.groups.submit import submit_groups
from app.queries.method_choice import resolve_method
from influence.contracts.curation.groups import ALL, Groups, GroupsRequest, IndexWhatIfRequest
from influence.contracts.dataset import ROW_FORMS
from influence.contracts.index import Index
from influence.store.store import Store
from influence.store.work import with_job_state


def find_or_submit(store: Store, index_id: str, asked: IndexWhatIfRequest) -> Accepted:
    """Groups whose scores answer; new unless they are finished. Raises what `submit_groups` raises."""
    index = require_ready(store, index_id)
    request = GroupsRequest(
        by=asked.by or _choose_column(store, index),
        evaluation=asked.evaluation,
        method=asked.method,
        damping_scale=asked.damping_scale,
    )
    found = _find_same(store, index_id, resolve_method(store, index, request)[0])
    if found is None:
        return submit_groups(store, index_id, request)
    return Accepted(found.id, found.job_id, is_new=found.state != "succeeded")


def _choose_column(store: Store, index: Index) -> str:
    dataset = store.datasets.require(index.spec.dataset_id)
    return "label" if ROW_FORMS[dataset.kind].label is not None else ALL


def _find_same(store: Store, index_id: str, request: GroupsRequest) -> Groups | None:
    """The newest groups of the same request that are at work, or whose scores are still kept."""
    for kept in store.groups.each():
        if (kept.index_id, kept.request) != (index_id, request):
            continue
        record = with_job_state(store, kept)
        if not record.is_final:
            return record
        if record.state == "succeeded" and store.group_rows.read(record.id, record.rows) is not None:
            return record
    return None

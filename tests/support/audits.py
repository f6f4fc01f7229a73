"""Audits as the API would submit them."""

from typing import Any

from influence.auditing.signals import describe_signals, offered_signals
from influence.contracts.audit import Audit, AuditRequest
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.common import now
from influence.contracts.index import Index
from influence.digests import new_id
from influence.store.store import Store


def make_audit(store: Store, index: Index, checkpoint: Checkpoint, **fields: Any) -> Audit:
    """The record of an audit and its job, without a message."""
    request = AuditRequest(**fields)
    offered = offered_signals(checkpoint.task)
    names = request.signals or tuple(name for name in offered if name != "influence" or request.evaluation)
    dataset = store.datasets.require(index.spec.dataset_id)
    audit = Audit(
        id=new_id("aud"),
        index_id=index.id,
        job_id=new_id("job"),
        state="queued",
        request=request,
        method=request.method,
        signals=describe_signals(names, request.weights or {}),
        dataset_id=dataset.id,
        kind=dataset.kind,
        task=checkpoint.task,
        label_names=checkpoint.label_names,
        rows=index.rows,
        created_at=now(),
    )
    store.jobs.create(audit.job_id, "audit", audit.id, f"/v1/audits/{audit.id}")
    store.audits.create(audit)
    return audit


def submit_audit(store: Store, index: Index, checkpoint: Checkpoint, **fields: Any) -> Audit:
    """Ask for an audit, as `POST /v1/indexes/{id}/audits` does."""
    audit = make_audit(store, index, checkpoint, **fields)
    store.queue.submit("audit_index", audit_id=audit.id)
    return audit

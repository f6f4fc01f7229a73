"""Audits as the API would submit them."""

from typing import Any

from influence.auditing.signals import describe_signals, offered_signals
from influence.contracts.audit import Audit, AuditRequest
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import Index
from influence.contracts.work import AUDIT
from influence.store.store import Store
from influence.store.work import keep, send


def make_audit(store: Store, index: Index, checkpoint: Checkpoint, **fields: Any) -> Audit:
    """The record of an audit and its job, without a message."""
    request = AuditRequest(**fields)
    offered = offered_signals(checkpoint.task)
    names = request.signals or tuple(name for name in offered if name != "influence" or request.evaluation)
    dataset = store.datasets.require(index.spec.dataset_id)
    audit = Audit(
        **AUDIT.begin(),
        index_id=index.id,
        request=request,
        method=request.method,
        signals=describe_signals(names, request.weights or {}),
        dataset_id=dataset.id,
        kind=dataset.kind,
        task=checkpoint.task,
        label_names=checkpoint.label_names,
        rows=index.rows,
    )
    return keep(store, audit)


def submit_audit(store: Store, index: Index, checkpoint: Checkpoint, **fields: Any) -> Audit:
    """Ask for an audit, as `POST /v1/indexes/{id}/audits` does."""
    audit = make_audit(store, index, checkpoint, **fields)
    send(store, audit)
    return audit

"""A record of every kind of long work, with data of its own; evaluations as the API would make them."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.auditing.signals import describe_signals
from influence.contracts.audit import AuditRequest
from influence.contracts.curation.groups import GroupsRequest
from influence.contracts.evaluation.experiment import LdsRequest
from influence.contracts.evaluation.record import Evaluation, Subject
from influence.contracts.index import Index, IndexSpec
from influence.contracts.points import RowSelection
from influence.contracts.preview import PreviewRequest
from influence.contracts.query import QueryRequest
from influence.contracts.sweep import SweepRequest
from influence.contracts.work import EVALUATION, WorkKind
from influence.contracts.work_record import WorkRecord
from influence.store import keys
from influence.store.data.scans import PartWork
from influence.store.store import Store
from influence.store.work import accept, keep

EXAMPLE = {"text": "late parcel", "label": 0}

#: Fields of a record beside those that all kinds have.
_FIELDS: dict[str, dict[str, Any]] = {
    "index": {"spec": IndexSpec(checkpoint_id="ckpt_a", dataset_id="ds_a", storage="full"), "rows": 30},
    "query": {"index_id": "idx_a", "request": QueryRequest(examples=[EXAMPLE]), "method": "datainf"},
    "preview": {
        "dataset_id": "ds_a",
        "checkpoint_id": "ckpt_a",
        "request": PreviewRequest(checkpoint_id="ckpt_a"),
    },
    "audit": {
        "index_id": "idx_a",
        "request": AuditRequest(),
        "method": "datainf",
        "signals": describe_signals(("loss",), {}),
        "dataset_id": "ds_a",
        "kind": "classification",
        "task": "sequence_classification",
        "rows": 30,
    },
    "sweep": {
        "index_id": "idx_a",
        "request": SweepRequest(examples=[EXAMPLE]),
        "method": "datainf",
        "damping_scales": (0.1, 1.0),
        "default_damping_scale": 0.1,
        "storage": "full",
    },
    "groups": {
        "index_id": "idx_a",
        "request": GroupsRequest(by="label", evaluation=RowSelection(dataset_id="ds_a")),
        "rows": 30,
        "method": "datainf",
    },
    "evaluation": {
        "request": LdsRequest(kind="lds", dataset_id="ds_a"),
        "subject": Subject(task="causal_lm", base_model=None, dataset_id="ds_a"),
    },
}

_WRITE: dict[str, Callable[[Store, Any], object]] = {
    "index": lambda store, index: store.index_data.write_rows(index.build, 0, "norms", np.ones((2, 3), np.float32)),
    "query": lambda store, query: store.scores.write(query.id, np.ones((1, 30), np.float32)),
    "audit": lambda store, audit: store.audit_data.commit_part(audit.id, "labels", 0, np.ones(3)),
    "groups": lambda store, groups: store.group_rows.write(groups.id, np.ones(30, np.float32), np.zeros(30, np.int32)),
    "evaluation": lambda store, evaluation: store.evaluation_data.keep_result(evaluation.id, 0, {"square": 1}),
}


def make_work(kind: WorkKind[Any], **changes: Any) -> Any:
    """A new record of a kind, not kept yet."""
    return kind.record(**{**kind.begin(), **_FIELDS[kind.name], **changes})


def submit_evaluation(
    store: Store, request: Any, *, queued: bool = True, cancelled: bool = False, **subject: Any
) -> Evaluation:
    """Ask for an evaluation, as `POST /v1/evaluations` does once it has checked the request."""
    about = {"task": "causal_lm", "base_model": None, "dataset_id": "ds_a", **subject}
    evaluation = Evaluation(**EVALUATION.begin(), request=request, subject=Subject(**about))
    if cancelled:  # before there is a record: a worker would find it without a message, and begin
        store.jobs.create(evaluation.job_id, "evaluation", evaluation.id, EVALUATION.path(evaluation.id))
        store.jobs.cancel(evaluation.job_id)
        store.evaluations.create(evaluation)
    elif queued:
        accept(store, evaluation)
    else:
        keep(store, evaluation)
    return evaluation


def write_data(store: Store, record: WorkRecord) -> None:
    """What work on a record keeps beside it, where its kind keeps anything."""
    kind = store.records_of(record).kind
    if kind.name in _WRITE:
        _WRITE[kind.name](store, record)


def lifetime_of(store: Store, kind: str, name: str) -> float | None:
    """How many seconds from now something ends, or None where it lives until it is deleted."""
    ends = store.connections.state.zscore(keys.lifetimes(), f"{kind} {name}")
    return None if ends is None else ends - time.time()


def keys_about(store: Store, record_id: str) -> list[bytes]:
    """Keys whose names hold an id."""
    return sorted(name for name in store.connections.state.scan_iter() if record_id.encode() in name)


def make_part_work(index: Index, asked: NDArray[Any], step: str, stop: int, method: str = "") -> PartWork:
    """The message about the first rows of an index as the first part of a pass."""
    return PartWork(
        scan_id="scan_a",
        part=0,
        index_id=index.id,
        build_job_id=index.job_id,
        start=0,
        stop=stop,
        step=step,
        shape=asked.shape,
        dtype=asked.dtype.name,
        method=method,
    )

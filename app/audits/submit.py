"""Audits: from a request to a job."""

from typing import Any

from app.checks.class_numbers import doubt_asked_numbers
from app.checks.readiness import require_ready
from app.checks.test_points import check_selection
from app.http.idempotency import Accepted
from app.queries.method_choice import resolve_method
from influence.auditing.signals import CLASS_SIGNALS, default_weights, describe_signals, offered_signals
from influence.contracts.audit import MAX_EVALUATION_ROWS, Audit, AuditRequest, Signal, SignalUse
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.work import AUDIT
from influence.errors import InvalidRequest, MethodNotOffered
from influence.methods.base import Method
from influence.methods.registry import METHODS, get_offered
from influence.store.class_names import checkpoint_of
from influence.store.store import Store
from influence.store.work import accept

_SAME_ROWS = "The evaluation rows are training rows: their influence says what was learnt, not what was learnt wrong."


def submit_audit(store: Store, index_id: str, request: AuditRequest) -> Accepted:
    """Check an audit and put it on the queue.

    Raises NotFound, IndexNotReady, IndexFailed, UnknownMethod, MethodNotOffered, InvalidRequest, RowsRefused.
    """
    index = require_ready(store, index_id)
    checkpoint = checkpoint_of(store, index)
    dataset = store.datasets.require(index.spec.dataset_id)
    request, reason = resolve_method(store, index, request, admits=lambda method: _serves(method, request))
    method = get_offered(request.method, index.spec)
    if not index.spec.gradients.is_loss:
        raise InvalidRequest(
            "An audit compares losses, and the gradients of this index are of none (measurement, timestep_weighting).",
            hint="Build an index with measurement 'loss' and timestep_weighting 'none'.",
        )
    if method.needs_checkpoints:
        raise MethodNotOffered(
            f"Method '{request.method}' sums over the checkpoints of a run; an audit looks at one.",
            hint="Use 'hessian_free', which it is for one checkpoint.",
        )
    signals, notes = choose_signals(request, checkpoint)
    if request.evaluation is not None:
        check_selection(
            store, request.evaluation, dataset, checkpoint, most=MAX_EVALUATION_ROWS, what="evaluation rows"
        )
        if request.evaluation.dataset_id == dataset.id:
            notes.append(_SAME_ROWS)
        notes += doubt_asked_numbers(checkpoint, dataset, store.datasets.require(request.evaluation.dataset_id))
    is_damped = method.default_damping_scale is not None
    if request.damping_scale is not None and not is_damped:
        notes.append(f"Method '{request.method}' has no damping; damping_scale had no effect.")
    audit = Audit(
        **AUDIT.begin(),
        name=request.name,
        index_id=index_id,
        request=request,
        method=request.method,
        method_reason=reason,
        damping_scale=method.damping_scale(request.damping_scale) if is_damped else None,
        signals=signals,
        dataset_id=dataset.id,
        kind=dataset.kind,
        task=checkpoint.task,
        label_names=checkpoint.label_names,
        rows=index.rows,
        storage=index.spec.storage,
        notes=tuple(notes),
    )
    accept(store, audit)
    return Accepted(audit.id, audit.job_id)


def _serves(method: Method[Any], request: AuditRequest) -> bool:
    """Whether an audit that leaves the method open may take one: it looks at one checkpoint, and at self-influence
    unless it names other signals."""
    wants_self = request.signals is None or "self_influence" in request.signals
    return not method.needs_checkpoints and (method.has_self_influence or not wants_self)


def choose_signals(request: AuditRequest, checkpoint: Checkpoint) -> tuple[tuple[SignalUse, ...], list[str]]:
    """The signals with their weights, and notes on what was left out. Raises InvalidRequest, MethodNotOffered."""
    offered = offered_signals(checkpoint.task)
    has_self_influence = METHODS[request.method].has_self_influence
    notes: list[str] = []
    if request.signals is None:
        names = tuple(
            name
            for name in offered
            if (name != "influence" or request.evaluation) and (name != "self_influence" or has_self_influence)
        )
        if not has_self_influence:
            notes.append(f"Method '{request.method}' has no self-influence; that signal was left out.")
    else:
        names = request.signals
        _check_signals(request, names, checkpoint, offered)
        if "self_influence" in names and not has_self_influence:
            raise _no_self_influence(request.method)
    if request.evaluation is not None and "influence" not in names:
        raise InvalidRequest(
            "'evaluation' has no effect without the signal 'influence'.",
            hint="Add 'influence' to 'signals', or leave 'evaluation' out.",
        )
    weights = _choose_weights(request, names)
    if uncounted := [name for name in names if not weights[name]]:
        notes.append(
            f"Shown but not counted in suspicion: {', '.join(uncounted)}. 'weights' may name a signal to count it."
        )
    return describe_signals(names, weights), notes


def _choose_weights(request: AuditRequest, names: tuple[Signal, ...]) -> dict[Signal, float]:
    given = request.weights or {}
    foreign = [name for name in given if name not in names]
    if foreign:
        raise InvalidRequest(
            f"'weights' names '{foreign[0]}', which is not among the signals.",
            hint=f"The signals are {', '.join(names)}.",
        )
    weights = default_weights(names, are_named=request.signals is not None) | given
    if not any(weights.values()):
        raise InvalidRequest(
            "At least one signal needs a weight above 0.", hint="Give one signal in 'weights' a weight above 0."
        )
    return weights


def _check_signals(
    request: AuditRequest, names: tuple[Signal, ...], checkpoint: Checkpoint, offered: tuple[Signal, ...]
) -> None:
    without_class = [name for name in names if name in CLASS_SIGNALS and name not in offered]
    if without_class:
        raise InvalidRequest(
            f"Rows of task '{checkpoint.task}' have no class, so no {' and no '.join(map(repr, without_class))}.",
            hint=f"Signals for this index are {', '.join(offered)}.",
            extra={"signals": list(offered)},
        )
    if "influence" in names and request.evaluation is None:
        raise InvalidRequest(
            "The signal 'influence' needs rows whose labels are trusted.",
            hint='Name them: "evaluation": {"dataset_id": "ds_..."}.',
        )


def _no_self_influence(method: str) -> MethodNotOffered:
    offered = [name for name, other in METHODS.items() if other.has_self_influence]
    return MethodNotOffered(
        f"Method '{method}' has no self-influence.",
        hint=f"Use one of {', '.join(offered)}, or leave 'self_influence' out of 'signals'.",
        extra={"methods": offered},
    )

"""Sweeps: from a request to a job."""

from typing import Any

from app.checks.class_numbers import refuse_guessed_numbers
from app.checks.readiness import require_ready
from app.checks.test_points import check_test_points, count_test_points
from app.http.idempotency import Accepted
from app.queries.method_choice import choose_method
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.index import Index
from influence.contracts.query import AUTO
from influence.contracts.sweep import DEFAULT_STEPS, MAX_SWEEP_POINTS, Sweep, SweepRequest
from influence.contracts.work import SWEEP
from influence.errors import InvalidRequest, MethodNotOffered
from influence.evaluating.dampings import choose_scales
from influence.methods.base import Method
from influence.methods.registry import METHODS, get_offered
from influence.rows.images.limits import ImageLimits
from influence.store.class_names import checkpoint_of
from influence.store.store import Store
from influence.store.work import accept


def submit_sweep(store: Store, index_id: str, request: SweepRequest, *, image_limits: ImageLimits) -> Accepted:
    """Check a sweep and put it on the queue.

    Raises NotFound, IndexNotReady, IndexFailed, UnknownMethod, MethodNotOffered, InvalidRequest, RowsRefused,
    UploadRefused.
    """
    index = require_ready(store, index_id)
    request, reason = _resolve_method(store, index, request)
    method = get_offered(request.method, index.spec)
    default = _require_damping(method)
    checked = check_test_points(store, index, request, image_limits)
    _check_numbers(store, index, checked)
    points = count_test_points(store, checked)
    if points > MAX_SWEEP_POINTS:
        raise InvalidRequest(
            f"The sweep has {points:,} test points; at most {MAX_SWEEP_POINTS} are taken.",
            hint="Name fewer: a hundred say how the ranking depends on damping.",
            extra={"test_points": points, "max_test_points": MAX_SWEEP_POINTS},
        )
    sweep = Sweep(
        **SWEEP.begin(),
        index_id=index_id,
        request=checked,
        method=method.name,
        method_reason=reason,
        damping_scales=choose_scales(request.damping_scales, default, DEFAULT_STEPS),
        default_damping_scale=default,
        storage=index.spec.storage,
        evaluation_id=_find_evaluation(store, index_id, request.evaluation_id),
    )
    accept(store, sweep)
    return Accepted(sweep.id, sweep.job_id)


def _check_numbers(store: Store, index: Index, request: SweepRequest) -> None:
    """Raise LabelUnknown where nothing says that class numbers of the test points are those of the indexed rows."""
    if request.rows is not None:
        indexed, asked = map(store.datasets.require, (index.spec.dataset_id, request.rows.dataset_id))
        refuse_guessed_numbers(checkpoint_of(store, index), indexed, asked)


def _resolve_method(store: Store, index: Index, request: SweepRequest) -> tuple[SweepRequest, str | None]:
    """As for a query, among methods that have a damping, which is what the sweep looks for."""
    if request.method != AUTO:
        return request, None
    choice = choose_method(store, index, admits=lambda method: method.default_damping_scale is not None)
    return request.model_copy(update={"method": choice.method}), choice.reason


def _find_evaluation(store: Store, index_id: str, wanted: str | None) -> str | None:
    """The evaluation that judges the dampings: the one asked for, or the newest of this index, or none."""
    if wanted is None:
        found = (one.id for one in store.evaluations.all() if _judges(one, index_id))
        return next(found, None)
    if not _judges(store.evaluations.require(wanted), index_id):
        raise InvalidRequest(
            f"{wanted} is no finished evaluation of kind 'lds' of {index_id}.",
            hint=f"Send an evaluation {{'kind': 'lds', 'index_id': '{index_id}', ...}} and wait for it.",
        )
    return wanted


def _judges(evaluation: Evaluation, index_id: str) -> bool:
    request = evaluation.request
    return request.kind == "lds" and request.index_id == index_id and evaluation.state == "succeeded"


def _require_damping(method: Method[Any]) -> float:
    if method.default_damping_scale is None:
        damped = [other.name for other in METHODS.values() if other.default_damping_scale is not None]
        raise MethodNotOffered(
            f"Method '{method.name}' has no damping to sweep.",
            hint=f"Sweep one of {', '.join(damped)}.",
            extra={"methods": damped},
        )
    return method.default_damping_scale

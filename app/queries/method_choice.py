"""`method: "auto"`: what agreed best with retraining, on the index itself where an evaluation says so, else on ours.

The choice is made once, when a request is accepted: its record names the method like any other, and says why.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from influence.contracts.audit import AuditRequest
from influence.contracts.checkpoint import PLAIN_DESCENT
from influence.contracts.curation.groups import GroupsRequest
from influence.contracts.evaluation.experiment import LdsRequest, MethodChoice
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.index import Index
from influence.contracts.query import AUTO, QueryRequest
from influence.errors import InvalidRequest, MethodNotOffered
from influence.methods.base import Method
from influence.methods.registry import default_method, get_offered, metrics_of
from influence.store.store import Store

#: By our own evaluations (docs/method.md): of one checkpoint, and of a sum over several.
OF_ONE, OF_SUM = "proximal", "preconditioned"

Asked = TypeVar("Asked", QueryRequest, GroupsRequest, AuditRequest)
#: Whether a method can do what is asked, where not all of those that an index offers can.
Admits = Callable[[Method[Any]], bool]


@dataclass(frozen=True, slots=True)
class Choice:
    """A method at a damping, its own default where None, and why it was taken, in a sentence."""

    method: str
    damping_scale: float | None
    reason: str


def admit_all(method: Method[Any]) -> bool:
    return True


def resolve_method(
    store: Store, index: Index, request: Asked, *, is_sum: bool = False, admits: Admits = admit_all
) -> tuple[Asked, str | None]:
    """The request with a method by name, and why it was chosen; as it is, and None, where it names one.

    Raises InvalidRequest for a damping that belongs to no method.
    """
    if request.method != AUTO:
        return request, None
    if request.damping_scale is not None:
        raise InvalidRequest(
            "A damping belongs to a method, and method 'auto' names none.",
            hint="Name the method, or leave 'damping_scale' out.",
        )
    choice = choose_method(store, index, is_sum=is_sum, admits=admits)
    chosen = request.model_copy(update={"method": choice.method, "damping_scale": choice.damping_scale})
    return chosen, choice.reason


def choose_method(store: Store, index: Index, *, is_sum: bool = False, admits: Admits = admit_all) -> Choice:
    """What agreed best in the latest evaluation that judged the index, where it can be told from chance; else the
    method that agreed best in ours and that the index offers. One that is not admitted is never taken."""
    for evaluation in store.evaluations.each():
        judged = None if evaluation.request.index_id != index.id else _best_of(evaluation, index, admits)
        if judged is not None:
            return judged
    if metrics_of(index.spec) == ("optimizer",):
        name = default_method("optimizer")
        return Choice(name, None, f"'{name}' is the method that codes in the optimiser's metric are made for.")
    is_descent = is_sum and _is_of_descent(store, index)
    name = OF_SUM if is_sum and "optimizer" in metrics_of(index.spec) and not is_descent else OF_ONE
    what = "sums over checkpoints" if is_sum else "one checkpoint"
    after = " after gradient descent" if is_descent else ""
    reason = (
        f"No evaluation judged this index; of {what}{after} '{name}' agreed best with retraining in the service's own."
    )
    return Choice(name, None, reason)


def _is_of_descent(store: Store, index: Index) -> bool:
    """Whether the checkpoint's files say that no adaptive optimiser trained it, so that its steps had no metric."""
    training = store.checkpoints.require(index.spec.checkpoint_id).training
    return training is not None and training.optimizer == PLAIN_DESCENT


def _best_of(evaluation: Evaluation, index: Index, admits: Admits) -> Choice | None:
    if not isinstance(evaluation.request, LdsRequest) or evaluation.report is None:
        return None
    found = evaluation.report.figures["lds"]
    offered = _offered(evaluation.request, found, index, admits)
    sure = [choice for choice in offered if found[choice.title]["low"] > 0]
    if not sure:
        return None
    best = max(sure, key=lambda choice: float(found[choice.title]["lds"]))
    reason = (
        f"'{best.title}' agreed best with retraining of this index in {evaluation.id}: "
        f"{found[best.title]['lds']:.3f} ({found[best.title]['low']:.3f} to {found[best.title]['high']:.3f})."
    )
    return Choice(best.method, best.damping_scale, reason)


def _offered(request: LdsRequest, found: dict[str, object], index: Index, admits: Admits) -> Iterator[MethodChoice]:
    """The methods that a report has figures of and that the index offers; without names each was at its default."""
    for choice in request.methods or tuple(MethodChoice(method=name) for name in found):
        try:
            method = get_offered(choice.method, index.spec)
        except MethodNotOffered:
            continue
        if admits(method):
            yield choice

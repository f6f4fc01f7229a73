"""`method: "auto"`: what agreed best with retraining, on the index itself where an evaluation says so, else on ours.

The choice is made once, when the query is accepted: its record names the method like any other, and says why.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from influence.contracts.evaluation import Evaluation, LdsRequest, MethodChoice
from influence.contracts.index import Index
from influence.contracts.query import AUTO, QueryRequest
from influence.errors import InvalidRequest, MethodNotOffered
from influence.methods.registry import default_method, get_offered, metrics_of
from influence.store.store import Store

#: By our own evaluations (docs/method.md): of one checkpoint, and of a sum over several.
OF_ONE, OF_SUM = "proximal", "preconditioned"


@dataclass(frozen=True, slots=True)
class Choice:
    """A method at a damping, its own default where None, and why it was taken, in a sentence."""

    method: str
    damping_scale: float | None
    reason: str


def resolve_method(store: Store, index: Index, request: QueryRequest) -> tuple[QueryRequest, str | None]:
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
    choice = choose_method(store, index, is_sum=request.checkpoints is not None or request.run_id is not None)
    chosen = request.model_copy(update={"method": choice.method, "damping_scale": choice.damping_scale})
    return chosen, choice.reason


def choose_method(store: Store, index: Index, *, is_sum: bool) -> Choice:
    """What agreed best in the latest evaluation that judged the index, where it can be told from chance; else the
    method that agreed best in ours and that the index offers."""
    for evaluation in store.evaluations.each():
        judged = None if evaluation.request.index_id != index.id else _best_of(evaluation, index)
        if judged is not None:
            return judged
    if metrics_of(index.spec) == ("optimizer",):
        name = default_method("optimizer")
        return Choice(name, None, f"'{name}' is the method that codes in the optimiser's metric are made for.")
    name = OF_SUM if is_sum and "optimizer" in metrics_of(index.spec) else OF_ONE
    what = "sums over checkpoints" if is_sum else "one checkpoint"
    reason = f"No evaluation judged this index; of {what} '{name}' agreed best with retraining in the service's own."
    return Choice(name, None, reason)


def _best_of(evaluation: Evaluation, index: Index) -> Choice | None:
    if not isinstance(evaluation.request, LdsRequest) or evaluation.report is None:
        return None
    found = evaluation.report.figures["lds"]
    sure = [choice for choice in _offered(evaluation.request, found, index) if found[choice.title]["low"] > 0]
    if not sure:
        return None
    best = max(sure, key=lambda choice: float(found[choice.title]["lds"]))
    reason = (
        f"'{best.title}' agreed best with retraining of this index in {evaluation.id}: "
        f"{found[best.title]['lds']:.3f} ({found[best.title]['low']:.3f} to {found[best.title]['high']:.3f})."
    )
    return Choice(best.method, best.damping_scale, reason)


def _offered(request: LdsRequest, found: dict[str, object], index: Index) -> Iterator[MethodChoice]:
    """The methods that a report has figures of and that the index offers; without names each was at its default."""
    for choice in request.methods or tuple(MethodChoice(method=name) for name in found):
        try:
            get_offered(choice.method, index.spec)
        except MethodNotOffered:
            continue
        yield choice

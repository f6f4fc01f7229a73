"""The indexes of one query: the one that was asked, or those of several checkpoints that it sums over.

They are opened in turn. What was opened last stays at hand, the rest is left to the caches of models and indexes, so
that memory does not grow with the number of checkpoints.
"""

from dataclasses import dataclass, replace

from influence.contracts.index import Index
from influence.contracts.query import Query, QueryRequest
from influence.contracts.tasks import TASKS
from workers.indexes.open import AnyIndex, open_hot, require_offered
from workers.queries.test_points import TestPoints, collect_gradients, make_test_points
from workers.runtime.interrupts import check_wanted
from workers.runtime.models import HotModel
from workers.runtime.open import open_model
from workers.runtime.state import Runtime
from workers.runtime.stopwatch import Stopwatch


@dataclass(frozen=True)
class Part:
    """An index and what its influence is multiplied by."""

    index: Index
    weight: float


@dataclass(frozen=True)
class Opened:
    """What scoring a part takes; the points' gradients are those under the part's own checkpoint."""

    index: Index
    model: HotModel
    hot: AnyIndex
    points: TestPoints


class Parts:
    """The asked index first. `points` are the test points as the asked index's checkpoint sees them."""

    def __init__(self, runtime: Runtime, query: Query, watch: Stopwatch) -> None:
        self.all = find_parts(runtime, query)
        self.watch = watch
        self._runtime = runtime
        self._query = query
        self._rows: TestPoints | None = None
        self._held: Opened | None = None
        self.points = self.open(self.all[0]).points.without_gradients()

    @property
    def are_full(self) -> bool:
        """Whether every part keeps whole gradients."""
        return all(part.index.spec.storage == "full" for part in self.all)

    def open(self, part: Part) -> Opened:
        """Bring a part's model, index and test gradients to hand. Raises Cancelled, NonFiniteGradients."""
        if self._held is None or self._held.index.id != part.index.id:
            check_wanted(self._runtime, self._query.job_id)
            self._held = None
            self._held = self._open(part.index)
        return self._held

    def _open(self, index: Index) -> Opened:
        runtime, watch = self._runtime, self.watch
        with watch.phase("load_model"):
            model = open_model(runtime, index)
        with watch.phase("load_index"):
            hot = open_hot(runtime, index, self._query.job_id)
        with watch.phase("test_gradients"):
            points = self._take_points(model)
        return Opened(index, model, hot, points)

    def _take_points(self, model: HotModel) -> TestPoints:
        request = self._query.request
        if self._rows is None:
            points = make_test_points(self._runtime, request, model, predict=shows_prediction(model, request))
            self._rows = points.without_gradients()
        else:
            # The asked checkpoint's own answer, where that is the target, stands as the label by now.
            _, gradients = collect_gradients(self._runtime, model, self._rows.rows)
            points = replace(self._rows, gradients=gradients)
        return points.mean() if request.aggregate == "mean" else points


def shows_prediction(model: HotModel, request: QueryRequest) -> bool:
    """Whether an answer shows what the model says anyway.

    A class comes with one forward pass; a generated answer costs many, and is shown only where it is scored.
    """
    return TASKS[model.task.name].answers == "label" and request.aggregate == "each"


def find_parts(runtime: Runtime, query: Query) -> list[Part]:
    """The parts of a query. Raises NotFound, IndexNotReady, MethodNotOffered."""
    chosen = query.checkpoints or ()
    weights = {summed.index_id: summed.weight for summed in chosen} or {query.index_id: 1.0}
    return [
        Part(require_offered(runtime, index_id, query.request.method), weight) for index_id, weight in weights.items()
    ]

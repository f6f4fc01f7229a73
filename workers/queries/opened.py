"""The indexes of one query: the one that was asked, or those of several checkpoints that it sums over.

They are opened in turn. What was opened last stays at hand, the rest is left to the caches of models and indexes, so
that memory does not grow with the number of checkpoints.
"""

from dataclasses import dataclass, replace

from influence.contracts.index import Index
from influence.contracts.query import Query, QueryRequest
from influence.contracts.tasks import TASKS
from influence.errors import Cancelled, IndexNotReady
from influence.methods.registry import get_offered
from workers.indexes.compact import CompactIndex, load_compact_index
from workers.indexes.full import FullIndex, load_full_index
from workers.queries.stopwatch import Stopwatch
from workers.queries.test_points import TestPoints, collect_gradients, make_test_points
from workers.runtime.models import HotModel
from workers.runtime.state import Runtime

AnyIndex = FullIndex | CompactIndex


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
            self._check_wanted()
            self._held = None
            self._held = self._open(part.index)
        return self._held

    def _open(self, index: Index) -> Opened:
        runtime, watch = self._runtime, self.watch
        with watch.phase("load_model"):
            checkpoint = runtime.store.checkpoints.require(index.spec.checkpoint_id)
            model = runtime.models.get(checkpoint, index.spec.gradients)
        with watch.phase("load_index"):
            hot = load_hot(runtime, index, self._query.job_id)
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

    def _check_wanted(self) -> None:
        """A sum over many checkpoints takes long enough to be given up."""
        self._runtime.check_stopping()
        if self._runtime.store.jobs.is_cancelled(self._query.job_id):
            raise Cancelled("The query was cancelled.")


def shows_prediction(model: HotModel, request: QueryRequest) -> bool:
    """Whether an answer shows what the model says anyway.

    A class comes with one forward pass; a generated answer costs many, and is shown only where it is scored.
    """
    return TASKS[model.task.name].answers == "label" and request.aggregate == "each"


def find_parts(runtime: Runtime, query: Query) -> list[Part]:
    """The parts of a query. Raises NotFound, IndexNotReady, MethodNotOffered."""
    chosen = query.checkpoints or ()
    weights = {summed.index_id: summed.weight for summed in chosen} or {query.index_id: 1.0}
    return [Part(_require(runtime, index_id, query.request.method), weight) for index_id, weight in weights.items()]


def _require(runtime: Runtime, index_id: str, method: str) -> Index:
    index = runtime.store.indexes.require(index_id)
    if index.state != "succeeded":
        raise IndexNotReady(f"Index {index.id} is {index.state}.")
    get_offered(method, index.spec)
    return index


def load_hot(runtime: Runtime, index: Index, job_id: str) -> AnyIndex:
    """The index in memory, with progress while it is loaded."""
    load_index = load_full_index if index.spec.storage == "full" else load_compact_index

    def load() -> AnyIndex:
        runtime.store.jobs.set_phase(job_id, "loading index", total=index.rows_indexed or index.rows)
        return load_index(runtime, index, lambda rows: runtime.store.jobs.set_done(job_id, rows))

    return runtime.hot_indexes.get(index, load)

"""A query by a baseline: embeddings in the place of gradients, similarity in the place of influence."""

from influence.contracts.common import Json
from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.methods.baselines import BASELINES
from influence.store.work import finish, send_following
from workers.baselines.similarity import embed_rows, score_points
from workers.queries.results import ResultBuilder, rank_points
from workers.queries.scored.influence import Influence
from workers.queries.test_points import TestPoints
from workers.runtime.open import open_model, require_ready
from workers.runtime.state import Runtime
from workers.runtime.stopwatch import Stopwatch


def answer_baseline(runtime: Runtime, query: Query) -> None:
    """Score the query's test points by similarity. Safe to run twice.

    The training rows are embedded first, in time slices, where that is not done: the message comes again then.
    """
    watch = Stopwatch()
    index = require_ready(runtime, query.index_id)
    with watch.phase("load_model"):
        model = open_model(runtime, index)
    if not embed_rows(runtime, index, model, query.job_id):
        send_following(runtime.store, query)
        return
    points, influence = score_points(runtime, query, index, model, watch, is_answer=True)
    _store(runtime, query, index, points, influence, watch)


def _store(
    runtime: Runtime, query: Query, index: Index, points: TestPoints, influence: Influence, watch: Stopwatch
) -> None:
    """Write results and scores; what would speak of gradients, damping and fidelity, stays empty."""
    with watch.phase("rank"):
        builder = ResultBuilder(runtime, query, index, points, influence, exact="all")
        results = builder.build(rank_points(influence, query.request))
        influence.keep(runtime.store.scores, query.id, index.rows)
    answer: Json = {
        "results": tuple(results),
        "rows_scored": influence.values.shape[1],
        "storage": index.spec.storage,
        "milliseconds": watch.finish(),
        "notes": tuple(dict.fromkeys((*query.notes, BASELINES[query.request.method].note))),
    }
    finish(runtime.store, query, lambda current: current.model_copy(update=answer))

"""What similarity would have shown, beside an answer by influence: only what it does not find needs influence."""

from functools import partial

import numpy as np

from influence.contracts.index import Index
from influence.contracts.query import ComparedBaseline, Query
from influence.evaluating.agreement import spearman
from influence.methods.baselines import EMBEDDING
from influence.ranking.order import Ranking, lowest_rows
from influence.store.work import send_following
from workers.baselines.similarity import embed_rows, score_points
from workers.queries.answer import answer_query
from workers.queries.results import ResultBuilder
from workers.queries.scored.influence import Scored, hold
from workers.runtime.interrupts import check_wanted
from workers.runtime.models import HotModel
from workers.runtime.open import open_model, require_ready
from workers.runtime.state import Runtime
from workers.runtime.stopwatch import Stopwatch


def answer_beside(runtime: Runtime, query: Query) -> None:
    """Answer a query with what baselines would have shown of each test point. Safe to run twice.

    Rows are embedded first, in time slices, where that is not done: the message comes again then.
    """
    index = require_ready(runtime, query.index_id)
    model = open_model(runtime, index)
    with runtime.turns.take(partial(check_wanted, runtime, query.job_id)):
        is_embedded = embed_rows(runtime, index, model, query.job_id)
    if not is_embedded:
        send_following(runtime.store, query)
        return
    answer_query(runtime, query, partial(_compare, runtime, query, index, model))


def _compare(
    runtime: Runtime, query: Query, index: Index, model: HotModel, scored: Scored, watch: Stopwatch
) -> list[tuple[ComparedBaseline, ...]]:
    influence = hold(scored)
    points, similar = score_points(runtime, query, index, model, watch, is_answer=False)
    plain = query.model_copy(update={"request": query.request.model_copy(update={"include": ()})})
    builder = ResultBuilder(runtime, plain, index, points, similar, exact="all")
    k = min(query.request.k, len(similar.row_indexes))
    results = builder.build([Ranking(helpful=lowest_rows(values, k)) for values in similar.values])
    _, here, there = np.intersect1d(influence.row_indexes, similar.row_indexes, return_indices=True)
    compared: list[tuple[ComparedBaseline, ...]] = []
    for result, ours, theirs in zip(results, influence.values[:, here], similar.values[:, there], strict=True):
        best = set(influence.row_indexes[here][lowest_rows(ours, min(k, len(ours)))].tolist())
        tells = len(ours) > 1 and np.ptp(ours) > 0 and np.ptp(theirs) > 0
        one = ComparedBaseline(
            method=EMBEDDING.name,
            overlap=len(best.intersection(row.row_index for row in result.helpful)) / k,
            spearman=spearman(ours, theirs) if tells else None,
            rows=result.helpful,
        )
        compared.append((one,))
    return compared

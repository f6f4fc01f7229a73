"""A query from message to stored answer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Calibration
from influence.contracts.query import Query, TestPointResult
from influence.methods.registry import get_method
from influence.store import keys
from workers.queries.exact_shares import share_shown
from workers.queries.influence import Influence, sum_influence
from workers.queries.opened import Parts
from workers.queries.rerank import AUTO_SECONDS, Reranked, candidates_of, estimate_seconds, rerank
from workers.queries.results import Positions, ResultBuilder
from workers.runtime.state import Runtime
from workers.runtime.stopwatch import Stopwatch

#: Note of an answer from codes that an exact one will replace.
_PRELIMINARY = "Exact scores are being computed."
#: Beginning of the note of an answer from codes that stands.
_FROM_CODES = "Scores come from codes;"


def answer_query(runtime: Runtime, query: Query) -> None:
    """Score the query's test points and store results and scores. Safe to run twice."""
    parts = Parts(runtime, query, Stopwatch())
    influence = sum_influence(parts, query.request)
    exact, notes = _rerank(runtime, query, parts, influence)
    _store(runtime, query, parts, influence, exact, notes)
    runtime.store.queries.expire(query.id, keys.QUERY_SECONDS)
    runtime.store.jobs.succeed(query.job_id)


def _rerank(
    runtime: Runtime, query: Query, parts: Parts, influence: Influence
) -> tuple[Reranked | None, tuple[str, ...]]:
    """Replace the candidates' scores in `influence` by exact ones where that is wanted; says so where it is not."""
    if parts.are_full:
        return None, ()
    candidates = candidates_of(query.request, influence)
    seconds = estimate_seconds(runtime, parts.all, influence.row_indexes[candidates])
    wanted = query.request.exact is True or (query.request.exact == "auto" and seconds < AUTO_SECONDS)
    if not wanted:
        return None, (
            f"{_FROM_CODES} exact scores of {len(candidates)} rows would take about {seconds:.1f} s: send exact true.",
        )
    if seconds > AUTO_SECONDS:
        _store(runtime, query, parts, influence, None, (_PRELIMINARY,), is_final=False)
    runtime.store.jobs.set_phase(query.job_id, "exact scores", total=len(candidates))
    exact = rerank(runtime, parts, query.request, influence, candidates)
    influence.values[:, candidates] = exact.exact_influence()
    return exact, ()


def _store(
    runtime: Runtime,
    query: Query,
    parts: Parts,
    influence: Influence,
    exact: Reranked | None,
    notes: tuple[str, ...],
    *,
    is_final: bool = True,
) -> None:
    """Write results and scores into the query's record; an answer from codes is there before the exact one."""
    index = parts.all[0].index
    method = get_method(query.request.method)
    damped = method.default_damping_scale is not None
    calibration = find_calibration(parts, query, method.damping_scale(query.request.damping_scale))
    with parts.watch.phase("rank"):
        results = _build_results(runtime, query, parts, influence, exact, calibration)
        runtime.store.scores.write(query.id, spread_rows(influence.values, influence.row_indexes, index.rows))
    storages = {part.index.spec.storage for part in parts.all}
    answer: Mapping[str, Any] = {
        "state": "succeeded" if is_final else "running",
        "results": tuple(results),
        "calibration": calibration,
        "rows_scored": len(influence.row_indexes),
        "fidelity": index.fidelity,
        "storage": index.spec.storage if len(storages) == 1 else "mixed",
        "milliseconds": parts.watch.finish(),
        "damping_scale": method.damping_scale(query.request.damping_scale) if damped else None,
    }
    runtime.store.queries.update(
        query.id,
        lambda current: current.model_copy(update={**answer, "notes": renew_notes(current.notes, notes)}),
    )


def renew_notes(noted: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """A record's notes with an answer's own in the place of those of the answer before it, one cut short perhaps."""
    kept = (note for note in noted if not note.startswith((_PRELIMINARY, _FROM_CODES)))
    return (*kept, *new)


def find_calibration(parts: Parts, query: Query, damping_scale: float) -> Calibration | None:
    """What makes changes of loss of this query's scores: found for its method and damping, on one index, and useful."""
    if query.checkpoints is not None:
        return None
    for found in parts.all[0].index.calibrations:
        if found.is_useful and (found.method, found.damping_scale) == (query.request.method, damping_scale):
            return found
    return None


def _build_results(
    runtime: Runtime,
    query: Query,
    parts: Parts,
    influence: Influence,
    exact: Reranked | None,
    calibration: Calibration | None,
) -> list[TestPointResult]:
    def is_exact(shown: Positions) -> NDArray[np.bool_]:
        if parts.are_full:
            return np.ones(len(shown), dtype=np.bool_)
        return np.isin(shown, exact.positions if exact else [])

    builder = ResultBuilder(
        runtime,
        query,
        parts.all[0].index,
        parts.points,
        influence,
        is_exact=is_exact,
        share=lambda shown: share_shown(parts, query.request, influence, exact, shown),
        change_scale=None if calibration is None else calibration.scale,
    )
    return builder.build()


def spread_rows(influence: NDArray[np.float32], row_indexes: NDArray[np.int64], rows: int) -> NDArray[np.float32]:
    """Influence (m, rows of the data set): NaN where a row was left out of the index."""
    if influence.shape[1] == rows:
        return influence
    spread = np.full((len(influence), rows), np.nan, dtype=np.float32)
    spread[:, row_indexes] = influence
    return spread

"""A query from message to stored answer: two loops over its indexes, then what people read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from influence.auditing.levels import Levels
from influence.contracts.index import Calibration
from influence.contracts.query import ComparedBaseline, Query, QueryRequest, TestPointResult
from influence.methods.codes.exactness import why_inexact
from influence.methods.registry import get_method
from influence.ranking.order import Ranking, scores_of
from influence.store.work import advance, finish
from workers.queries.contributions import Contributions, block_contributions
from workers.queries.levels import find_levels
from workers.queries.rerank import (
    AUTO_SECONDS,
    Patience,
    TooSlow,
    candidates_of,
    count_missing,
    estimate_seconds,
    is_asked_for,
    is_wanted,
)
from workers.queries.results import Exactness, ResultBuilder, rank_points, shown_rows
from workers.queries.scored.influence import Scored, hold
from workers.queries.scored.opened import IndexTerm, OpenedIndexes, find_terms
from workers.queries.scored.parted import find_influence
from workers.queries.token_parts import ShownParts, split_scores
from workers.runtime.interrupts import check_wanted
from workers.runtime.sharing.turns import is_small
from workers.runtime.state import Runtime
from workers.runtime.stopwatch import Stopwatch

#: Note of an answer from codes that an exact one will replace.
_PRELIMINARY = "Scores from true gradients are being computed."
#: Beginnings of the notes of an answer from codes that stands, and of one whose re-ranked scores are not exact.
_FROM_CODES = "Scores come from codes;"
_RERANKED = "Re-ranked scores of "
_QUIET = "their strongest rows are as strong for test points that they have nothing to do with."
#: What baselines say of each test point, beside influence (m, n); None where none was asked.
Compared = list[tuple[ComparedBaseline, ...]] | None
Compare = Callable[[Scored, Stopwatch], Compared]
#: Test points that a note names.
_NAMED = 10


def _no_baselines(_influence: Scored, _watch: Stopwatch) -> Compared:
    return None


@dataclass(frozen=True)
class Answer:
    """Influence, its rankings, which rows are exact, what blocks contribute to some rows, notes, and what tokens add to
    the shown rows' scores and what baselines would have shown where that is asked for."""

    influence: Scored
    rankings: list[Ranking]
    exact: Exactness = "all"
    contributions: Contributions | None = None
    notes: tuple[str, ...] = ()
    tokens: list[ShownParts] | None = None
    levels: Levels | None = None
    compared: Compared = None


def answer_query(runtime: Runtime, query: Query, compare: Compare = _no_baselines) -> None:
    """Score the query's test points and store results and scores, a large query's in its turn. Safe to run twice.

    `compare` says what baselines would have shown of each test point."""
    terms = find_terms(runtime, query)
    if is_small(query.request, [term.index for term in terms]):
        with runtime.device_lock.in_hand():
            _answer(runtime, query, terms, compare)
        return
    with runtime.turns.take(partial(check_wanted, runtime, query.job_id)):
        _answer(runtime, query, terms, compare)


def _answer(runtime: Runtime, query: Query, terms: Sequence[IndexTerm], compare: Compare) -> None:
    indexes = OpenedIndexes(runtime, query, terms, Stopwatch())
    influence = find_influence(indexes, query.request)
    answer = (_answer_exactly if indexes.are_full else _answer_from_codes)(runtime, query, indexes, influence)
    if "tokens" in query.request.include:
        runtime.store.jobs.set_phase(query.job_id, "tokens", total=len(answer.rankings), unit="test points")
        shown = [*map(shown_rows, answer.rankings)]
        answer = replace(answer, tokens=split_scores(runtime, indexes, influence, shown, query.request.tokens_by))
    if "levels" in query.request.include:
        runtime.store.jobs.set_phase(query.job_id, "levels", total=len(answer.rankings), unit="test points")
        answer = _with_levels(answer, find_levels(runtime, indexes, influence))
    _store(runtime, query, indexes, replace(answer, compared=compare(influence, indexes.watch)))


def _with_levels(answer: Answer, levels: Levels | None) -> Answer:
    """The answer, with a word on test points for which no row stands out."""
    if levels is None:
        return replace(answer, notes=(*answer.notes, "The index has too few rows to say which of them stand out."))
    scores = map(scores_of, hold(answer.influence).values)
    quiet = [str(number) for number, found in enumerate(scores) if not levels.stands_out(found)]
    named = f"{', '.join(quiet[:_NAMED])}{', ...' if len(quiet) > _NAMED else ''}"
    note = f"No row stands out for {len(quiet)} of {len(answer.rankings)} test points ({named}): {_QUIET}"
    return replace(answer, levels=levels, notes=(*answer.notes, *([note] if quiet else [])))


def _answer_exactly(runtime: Runtime, query: Query, indexes: OpenedIndexes, influence: Scored) -> Answer:
    """Whole gradients: every score is exact already."""
    with indexes.watch.phase("rank"):
        rankings = rank_points(influence, query.request)
    if "blocks" not in query.request.include:
        return Answer(influence, rankings)
    parts = block_contributions(indexes, influence, [*map(shown_rows, rankings)])
    return Answer(influence, rankings, contributions=parts)


def _answer_from_codes(runtime: Runtime, query: Query, indexes: OpenedIndexes, influence: Scored) -> Answer:
    """Replace the candidates' scores in `influence` by those from true gradients where that is wanted; says so where it
    is not, and where those are not exact."""
    candidates = candidates_of(query.request, influence)
    seconds = estimate_seconds(runtime, indexes.terms, influence.row_indexes[candidates])
    inexact = _why_inexact(indexes, query.request)
    if not is_wanted(query.request, seconds):
        better = "scores from true gradients" if inexact else "exact scores"
        note = f"{_FROM_CODES} {better} of {len(candidates)} rows would take about {seconds:.1f} s: send exact true."
        return Answer(influence, rank_points(influence, query.request), "none", notes=(note, *inexact))
    missing = count_missing(runtime, indexes.terms, influence.row_indexes[candidates])
    hear = None if is_asked_for(query.request) else Patience(missing).hear
    if seconds > AUTO_SECONDS:
        preliminary = Answer(influence, rank_points(influence, query.request), "none", notes=(_PRELIMINARY,))
        _store(runtime, query, indexes, preliminary, is_final=False)
    runtime.store.jobs.set_phase(query.job_id, "scores from gradients", total=len(candidates))
    try:
        parts = block_contributions(indexes, influence, [candidates] * influence.points, hear)
    except TooSlow as slow:
        note = (
            f"{_FROM_CODES} true gradients of {len(candidates)} rows were estimated to take {seconds:.1f} s, and after "
            f"{slow.done} of them about {slow.seconds:.1f} s: send exact true."
        )
        return Answer(influence, rank_points(influence, query.request), "none", notes=(note, *inexact))
    influence.replace(candidates, parts.influence())
    rankings = rank_points(influence, query.request)
    return Answer(influence, rankings, "none" if inexact else "recomputed", parts, inexact)


def _why_inexact(indexes: OpenedIndexes, request: QueryRequest) -> tuple[str, ...]:
    """Why re-ranked rows may not be called exact, a sentence for each reason that an index has; none where they may."""
    method = get_method(request.method)
    scale = method.damping_scale(request.damping_scale)
    reasons = (why_inexact(term.index, method, scale) for term in indexes.terms)
    return tuple(dict.fromkeys(reason for reason in reasons if reason is not None))


def _store(runtime: Runtime, query: Query, indexes: OpenedIndexes, answer: Answer, *, is_final: bool = True) -> None:
    """Write results and scores into the query's record; an answer from codes is there before the exact one."""
    index, influence = indexes.terms[0].index, answer.influence
    method = get_method(query.request.method)
    scale = method.damping_scale(query.request.damping_scale)
    calibration = find_calibration(indexes, query, scale)
    with indexes.watch.phase("rank"):
        results = _build_results(runtime, query, indexes, answer, calibration)
        influence.keep(runtime.store.scores, query.id, index.rows)
    storages = {term.index.spec.storage for term in indexes.terms}
    fields: Mapping[str, Any] = {
        "results": tuple(results),
        "calibration": calibration,
        "rows_scored": len(influence.row_indexes),
        "fidelity": index.fidelity,
        "storage": index.spec.storage if len(storages) == 1 else "mixed",
        "milliseconds": indexes.watch.finish(),
        "damping_scale": scale if method.default_damping_scale is not None else None,
    }
    write = finish if is_final else advance
    write(
        runtime.store,
        query,
        lambda current: current.model_copy(update={**fields, "notes": renew_notes(current.notes, answer.notes)}),
    )


def renew_notes(noted: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """A record's notes with an answer's own in the place of those of the answer before it, one cut short perhaps."""
    kept = (note for note in noted if not note.startswith((_PRELIMINARY, _FROM_CODES, _RERANKED)))
    return (*kept, *new)


def find_calibration(indexes: OpenedIndexes, query: Query, damping_scale: float) -> Calibration | None:
    """What makes changes of loss of this query's scores: found for its method and damping, on one index, and useful."""
    if query.checkpoints is not None:
        return None
    for calibration in indexes.terms[0].index.calibrations:
        known = (calibration.method, calibration.damping_scale)
        if calibration.is_useful and known == (query.request.method, damping_scale):
            return calibration
    return None


def _build_results(
    runtime: Runtime, query: Query, indexes: OpenedIndexes, answer: Answer, calibration: Calibration | None
) -> list[TestPointResult]:
    builder = ResultBuilder(
        runtime,
        query,
        indexes.terms[0].index,
        indexes.points,
        answer.influence,
        exact=answer.exact,
        contributions=answer.contributions,
        tokens=answer.tokens,
        levels=answer.levels,
        compared=answer.compared,
        change_scale=None if calibration is None else calibration.scale,
    )
    return builder.build(answer.rankings)

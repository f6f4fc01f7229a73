"""The three steps of an evaluation: plan it, compute its pieces, make the report."""

from functools import partial

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import MAX_PIECES
from influence.contracts.evaluation.record import Evaluation
from influence.errors import InvalidRequest
from influence.evaluating.training_time import training_seconds
from influence.store.work import advance, finish, send, send_all
from workers.building.attempts import attempt
from workers.building.wait_for_memory import retry_while_full
from workers.evaluating.base import Concluding, EvaluationKind
from workers.evaluating.pictures import draw_png, draw_svg
from workers.evaluating.progress import PIECE_STEPS, piece_progress, watch_piece
from workers.runtime.interrupts import require_wanted
from workers.runtime.state import Runtime


def plan_evaluation(runtime: Runtime, evaluation: Evaluation, kind: EvaluationKind) -> None:
    """Plan the pieces and submit them; a plan that exists is only submitted again.

    Raises what the kind has to say against the request, InvalidRequest for no pieces or more than MAX_PIECES.
    """
    store = runtime.store
    expected = {"planning": 0.0, "trainings": _training_seconds(runtime, evaluation), "finishing": 0.0}
    store.jobs.expect(evaluation.job_id, expected)
    store.jobs.set_phase(evaluation.job_id, "planning", total=1, unit="plans", in_shards=False)
    count = len(_find_plan(runtime, evaluation, kind))
    require_wanted(runtime, evaluation.job_id)
    planned: Json = {"state": "running", "pieces": count}
    advance(store, evaluation, lambda current: current.model_copy(update=planned))
    done = store.evaluation_data.pieces_done(evaluation.id)
    for piece in done:
        store.jobs.set_done(evaluation.job_id, PIECE_STEPS, shard=piece)
    store.jobs.set_phase(
        evaluation.job_id,
        "trainings",
        total=PIECE_STEPS * count,
        shown_total=evaluation.request.trainings,
        unit="trainings",
    )
    missing = [{"piece": piece} for piece in range(count) if piece not in done]
    send_all(store, evaluation, "evaluate_piece", missing)
    if len(done) == count:
        send(store, evaluation, "finish_evaluation")


def _training_seconds(runtime: Runtime, evaluation: Evaluation) -> float | None:
    """What the trainings should take at the speed of the index that is judged; None where nothing says."""
    request = evaluation.request
    index = None if request.index_id is None else runtime.store.indexes.find(request.index_id)
    rows = 0 if index is None else index.rows_indexed or index.rows
    return training_seconds(request.trained_on(rows), request.recipe, index)


def _find_plan(runtime: Runtime, evaluation: Evaluation, kind: EvaluationKind) -> list[Json]:
    """The plan that is kept, or one made now: the request alone decides it, so that a lost one comes back the same."""
    kept = runtime.store.evaluation_data.plan(evaluation.id)
    if kept is not None:
        return kept
    pieces = kind.plan(runtime, evaluation)
    if not 0 < len(pieces) <= MAX_PIECES:
        raise InvalidRequest(
            f"The request makes {len(pieces):,} pieces of work; from 1 to {MAX_PIECES:,} are taken.",
            hint="Ask for fewer seeds, subsets or counts.",
            extra={"pieces": len(pieces), "max_pieces": MAX_PIECES},
        )
    keep = partial(runtime.store.evaluation_data.keep_plan, evaluation.id, pieces)
    return retry_while_full(runtime, evaluation.job_id, keep)


def evaluate_piece(runtime: Runtime, evaluation: Evaluation, kind: EvaluationKind, piece: int) -> None:
    """Compute one piece and keep its result; one that is done already is left as it is.

    Raises what the kind has to say, WorkerDied for a piece that was begun too often, Cancelled when nobody wants it.
    """
    data = runtime.store.evaluation_data
    if not data.has_result(evaluation.id, piece):
        with attempt(runtime, evaluation.job_id, piece, f"Piece {piece}"):
            _compute(runtime, evaluation, kind, piece)
    if len(data.pieces_done(evaluation.id)) == evaluation.pieces:
        send(runtime.store, evaluation, "finish_evaluation")


def _compute(runtime: Runtime, evaluation: Evaluation, kind: EvaluationKind, piece: int) -> None:
    data = runtime.store.evaluation_data
    progress = piece_progress(runtime, evaluation, piece)
    plan = _find_plan(runtime, evaluation, kind)
    result = kind.run(runtime, evaluation, plan[piece], watch_piece(progress))
    retry_while_full(runtime, evaluation.job_id, partial(data.keep_result, evaluation.id, piece, result))
    progress.report(PIECE_STEPS, last=True)


def finish_evaluation(runtime: Runtime, evaluation: Evaluation, kind: EvaluationKind) -> None:
    """Make the report and its pictures. Safe to run twice."""
    data = runtime.store.evaluation_data
    plan, results = data.plan(evaluation.id) or [], data.results(evaluation.id)
    if not plan or len(results) < len(plan):
        return
    runtime.store.jobs.set_phase(evaluation.job_id, "finishing", total=1, unit="reports", in_shards=False)
    ordered = [results[piece] for piece in range(len(plan))]
    report = kind.report(evaluation, plan, ordered)
    for picture in report.pictures:
        for ending, draw in (("svg", draw_svg), ("png", draw_png)):
            keep = partial(data.keep_picture, evaluation.id, f"{picture.name}.{ending}", draw(picture))
            retry_while_full(runtime, evaluation.job_id, keep)
    require_wanted(runtime, evaluation.job_id)
    if isinstance(kind, Concluding):
        kind.conclude(runtime, evaluation, report)
    runtime.store.jobs.set_done(evaluation.job_id, 1)
    finish(runtime.store, evaluation, lambda current: current.model_copy(update={"report": report}))

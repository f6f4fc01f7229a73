"""Progress of an evaluation's piece, and whether its result is still wanted."""

from functools import partial

from influence.contracts.evaluation import Evaluation
from workers.evaluating.base import Watch
from workers.runtime.progress import JobProgress
from workers.runtime.state import Runtime

#: Steps that a piece counts for in the job's progress: a piece may take minutes, and people want to see it move.
PIECE_STEPS = 100


def piece_progress(runtime: Runtime, evaluation: Evaluation, piece: int) -> JobProgress:
    """Counts the steps of one piece; an evaluation that nobody wants leaves nothing behind."""
    return JobProgress(runtime, evaluation.job_id, shard=piece, clear_up=partial(drop_evaluation, runtime, evaluation))


def watch_piece(progress: JobProgress) -> Watch:
    """The watch of a piece: reports its share of the steps and raises when the work should stop."""
    return lambda done, total: progress.report(PIECE_STEPS * done // max(total, 1))


def drop_evaluation(runtime: Runtime, evaluation: Evaluation) -> None:
    """Remove what an evaluation kept, unless it has succeeded."""
    current = runtime.store.evaluations.find(evaluation.id)
    if current is None or current.state != "succeeded":
        runtime.store.evaluation_data.delete(evaluation.id)

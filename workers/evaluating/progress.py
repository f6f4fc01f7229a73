"""Progress of an evaluation's piece, and whether its result is still wanted."""

from influence.contracts.evaluation.record import Evaluation
from workers.evaluating.base import Watch
from workers.runtime.progress import JobProgress
from workers.runtime.state import Runtime

#: Steps that a piece counts for in the job's progress: a piece may take minutes, and people want to see it move.
PIECE_STEPS = 100


def piece_progress(runtime: Runtime, evaluation: Evaluation, piece: int) -> JobProgress:
    """Counts the steps of one piece."""
    return JobProgress(runtime, evaluation.job_id, shard=piece)


def watch_piece(progress: JobProgress) -> Watch:
    """The watch of a piece: reports its share of the steps and raises when the work should stop."""
    return lambda done, total: progress.report(PIECE_STEPS * done // max(total, 1))

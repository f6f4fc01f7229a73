"""Progress of an evaluation, and the reasons to stop it: nobody wants it any more, or the process ends."""

import contextlib
import time

from influence.contracts.evaluation import Evaluation
from influence.errors import Cancelled
from influence.store.connections import StoreFullError
from workers.runtime.state import Runtime

#: Steps that a piece counts for in the job's progress: a piece may take minutes, and people want to see it move.
PIECE_STEPS = 100
#: Redis is told and asked at most so often, however small the steps of training.
_REPORT_SECONDS = 0.2


def require_wanted(runtime: Runtime, evaluation: Evaluation) -> None:
    """Raise Cancelled, with what the evaluation kept removed, when its job is over: cancelled, or a piece failed.

    Whoever ended it cleared up at that moment; what was written since would stay for ever.
    """
    if runtime.store.jobs.state(evaluation.job_id) in ("queued", "running"):
        return
    current = runtime.store.evaluations.find(evaluation.id)
    if current is None or current.state != "succeeded":
        runtime.store.evaluation_data.delete(evaluation.id)
    raise Cancelled("The evaluation is over.")


class PieceProgress:
    """The watch of one piece: reports its share and raises when the work should stop."""

    def __init__(self, runtime: Runtime, evaluation: Evaluation, piece: int) -> None:
        self._runtime = runtime
        self._evaluation = evaluation
        self._piece = piece
        self._last = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Say that `done` of `total` units are done.

        Raises Cancelled when nobody wants the result, ShutdownRequested when the process is asked to end.
        """
        self._runtime.check_stopping()
        if time.monotonic() - self._last < _REPORT_SECONDS:
            return
        self._last = time.monotonic()
        require_wanted(self._runtime, self._evaluation)
        self.report(PIECE_STEPS * done // max(total, 1))

    def report(self, steps: int) -> None:
        """Say how many of the piece's steps are done. A server without room for a number pauses only what follows."""
        with contextlib.suppress(StoreFullError):
            self._runtime.store.jobs.set_done(self._evaluation.job_id, steps, shard=self._piece)

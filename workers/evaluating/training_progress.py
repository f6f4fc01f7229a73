"""Progress of a piece that consists of several trainings."""

from workers.evaluating.base import Watch

_PER_TRAINING = 1000


class Steps:
    """`watch` is the watch of one training after another; `finish` ends one; `touch` says that work goes on.

    All may raise what the piece's watch raises.
    """

    def __init__(self, watch: Watch, trainings: int = 1) -> None:
        self._watch = watch
        self._total = _PER_TRAINING * max(trainings, 1)
        self._finished = 0
        self._done = 0

    def watch(self, step: int, steps: int) -> None:
        """Steps done of the training in hand."""
        self._done = min(self._finished * _PER_TRAINING + _PER_TRAINING * step // max(steps, 1), self._total)
        self.touch()

    def finish(self) -> None:
        """The training in hand is done."""
        self._finished += 1
        self._done = min(self._finished * _PER_TRAINING, self._total)
        self.touch()

    def touch(self, _rows: int = 0) -> None:
        """Nothing new, but ask whether the work is still wanted."""
        self._watch(self._done, self._total)

"""Scores of single checkpoints, by the methods of the product, and what is made of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.combining.trainings import EARLY, Trainings
from influence.arrays import on_host
from influence.evaluating.datamodel import linear_datamodelling_scores, predict_losses
from influence.evaluating.reliability import Ceiling, agreement_of_trainings, find_ceiling
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.algebra.rescaled import with_roots
from influence.methods.registry import get_method

BATCH_ROWS = 16
METHODS = ("preconditioned", "proximal")
#: Chosen weights of a learnt sum: steps tried, and how much better a sum has to be on its own half to be taken.
_STEPS, _LEAST_GAIN, _MOST_STEPS, _DRAWS = (0.25, 0.5, 1.0), 1e-4, 12, 6
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """Halves (s, n), losses (repeats, s, tests) after training on them."""

    halves: NDArray[np.bool_]
    losses: Floats

    @cached_property
    def mean(self) -> Floats:
        return np.asarray(self.losses.mean(0), np.float64)

    def judge(self, influence: Floats) -> float:
        """Mean LDS over test points of influence (tests, n)."""
        return float(linear_datamodelling_scores(predict_losses(influence, self.halves), self.mean).mean())

    def find_ceiling(self) -> Ceiling | None:
        """What chance in the trainings leaves to predict; None for one training per half."""
        if len(self.losses) < 2:
            return None
        return find_ceiling(agreement_of_trainings(self.losses), len(self.losses))


@dataclass(frozen=True)
class Scored:
    """Influence (tests, n) by (run, epoch, method), lengths (n,) of rows by (run, epoch), rates of epochs by run."""

    influence: dict[tuple[int, int, str], Floats] = field(default_factory=dict)
    lengths: dict[tuple[int, int], Floats] = field(default_factory=dict)
    rates: dict[int, dict[int, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, trainings: Trainings, runs: int) -> "Scored":
        """All methods at all kept checkpoints of so many full trainings."""
        scored = cls()
        for run in range(runs):
            scored.rates[run] = trainings.read_rates(run)
            for epoch in trainings.kept:
                scored._score(run, epoch, *trainings.read_gradients(run, epoch))
        return scored

    def _score(self, run: int, epoch: int, rows: Sequence[Tensor], tests: Sequence[Tensor]) -> None:
        blocks = {str(number): TrainBlock.of(block) for number, block in enumerate(rows)}
        vectors = {str(number): block for number, block in enumerate(tests)}
        self.lengths[run, epoch] = np.sqrt(sum(on_host(block.squared_norms) for block in blocks.values()))
        for name in METHODS:
            method = get_method(name, "full")
            own = with_roots(blocks, BATCH_ROWS) if method.metric == "optimizer" else blocks
            found = on_host(method.apply(method.prepare(own, None), vectors).influence)
            self.influence[run, epoch, name] = np.asarray(found, np.float64)

    def sum_early(self, run: int, method: str, scale: Callable[[Floats], Floats] = np.ones_like) -> Floats:
        """Over the first epochs, by their learning rates; a row's gradient times `scale` of its length there."""
        parts = (
            self.rates[run][epoch] * self.influence[run, epoch, method] * scale(self.lengths[run, epoch])
            for epoch in EARLY
        )
        return np.asarray(sum(parts), np.float64)

    def add(self, runs: Iterable[int], epoch: int, method: str) -> Floats:
        """Of several trainings at one epoch."""
        return np.asarray(sum(self.influence[run, epoch, method] for run in runs), np.float64)


def judge_learnt_weights(truth: Truth, scored: Scored) -> tuple[float, float]:
    """LDS (learnt, fixed) on halves held out: weights of the first run's checkpoints and methods, none negative, taken
    step by step where they raise LDS on the other halves, against the fixed sum on the same halves."""
    parts = [predict_losses(scores, truth.halves) for (run, _, _), scores in scored.influence.items() if run == 0]
    parts = [part / part.std() for part in parts]
    fixed = predict_losses(scored.sum_early(0, "preconditioned"), truth.halves)
    learnt_scores, fixed_scores = [], []
    rng = np.random.default_rng(0)
    for _ in range(_DRAWS):
        order = rng.permutation(len(truth.halves))
        half = len(order) // 2
        for known, out in ((order[:half], order[half:]), (order[half:], order[:half])):
            weights = _learn(parts, truth.mean, known)
            mixed = sum(weight * part for weight, part in zip(weights, parts, strict=True))
            learnt_scores.append(_agree(np.asarray(mixed), truth.mean, out))
            fixed_scores.append(_agree(fixed, truth.mean, out))
    return float(np.mean(learnt_scores)), float(np.mean(fixed_scores))


def _agree(predicted: Floats, measured: Floats, halves: NDArray[np.int64]) -> float:
    return float(linear_datamodelling_scores(predicted[halves], measured[halves]).mean())


def _learn(parts: Sequence[Floats], measured: Floats, halves: NDArray[np.int64]) -> Floats:
    weights, best = np.zeros(len(parts)), -1.0
    for _ in range(_MOST_STEPS):
        tried = [weights + step * np.eye(len(parts))[place] for place in range(len(parts)) for step in _STEPS]
        agreed = [
            _agree(np.asarray(sum(w * part for w, part in zip(one, parts, strict=True) if w)), measured, halves)
            for one in tried
        ]
        if max(agreed) <= best + _LEAST_GAIN:
            break
        best = max(agreed)
        weights = tried[int(np.argmax(agreed))]
    return weights

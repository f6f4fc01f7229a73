"""Approximate unrolling: the test gradient of the end, pulled back through what training did after each segment.

Source: Bae et al. 2024, Training Data Attribution via Approximate Unrolled Differentiation, equation 10, with
gradients and curvature of each segment taken at its last checkpoint, in the optimiser's metric of the first epochs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.combining.scores import BATCH_ROWS, Floats
from benchmarks.combining.trainings import EARLY, ROWS, Trainings
from influence.compact.preconditioning import GradientMoments, find_roots, rescale, take_moments

#: Directions of less than this share of the largest are rounding.
_LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class Segments:
    """Per kept epoch rows (n, k) and tests (p, k) in one orthonormal basis of all rows of the run, spectrum (k,) and
    eigenvectors (k, k) of the rows' second moment."""

    rows: Mapping[int, Tensor]
    tests: Mapping[int, Tensor]
    spectra: Mapping[int, tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, trainings: Trainings, run: int) -> "Segments":
        read = {epoch: trainings.read_gradients(run, epoch) for epoch in trainings.kept}
        roots = _shared_roots([read[epoch][0] for epoch in EARLY])
        rows, tests = (torch.cat([_join(read[epoch][part], roots) for epoch in trainings.kept]) for part in (0, 1))
        values, vectors = torch.linalg.eigh((rows @ rows.T).double())
        known = values > values.max() * _LEAST_SHARE
        turn = vectors[:, known] / values[known].sqrt()
        of_rows = ((rows @ rows.T).double() @ turn).split(ROWS)
        of_tests = ((tests @ rows.T).double() @ turn).split(len(tests) // len(trainings.kept))
        spectra = [torch.linalg.eigh(part.T @ part / ROWS) for part in of_rows]
        return cls(
            dict(zip(trainings.kept, of_rows, strict=True)),
            dict(zip(trainings.kept, of_tests, strict=True)),
            {epoch: (found[0].clamp(min=0), found[1]) for epoch, found in zip(trainings.kept, spectra, strict=True)},
        )

    def score(self, durations: Mapping[int, float]) -> Floats:
        """Influence (p, n) of the rows on the tests at the end of the last of these segments, each of a duration."""
        last = max(durations)
        back, total = self.tests[last], torch.zeros(len(self.tests[last]), ROWS, dtype=torch.float64)
        for epoch in sorted(durations, reverse=True):
            time = durations[epoch]
            powers = time * self.spectra[epoch][0]
            total += time * self._turn(back, epoch, _mean_decay(powers)) @ self.rows[epoch].T
            back = self._turn(back, epoch, torch.exp(-powers))
        return np.asarray(-total, np.float64)

    def _turn(self, vectors: Tensor, epoch: int, factors: Tensor) -> Tensor:
        directions = self.spectra[epoch][1]
        return (vectors @ directions) * factors @ directions.T


def find_durations(rates: Mapping[int, float], ends: Sequence[int], scale: float) -> dict[int, float]:
    """Sum of the learning rates of all steps of each segment, which ends at the epochs `ends`, times `scale`."""
    steps, durations, begin = -(-ROWS // BATCH_ROWS), dict[int, float](), 0
    for end in ends:
        durations[end] = scale * steps * sum(rates[epoch] for epoch in range(begin + 1, end + 1))
        begin = end
    return durations


def _join(blocks: Sequence[Tensor], roots: Sequence[Floats]) -> Tensor:
    return torch.cat([torch.as_tensor(block) for block in rescale(blocks, roots)], 1)


def _mean_decay(power: Tensor) -> Tensor:
    """(1 - exp(-x)) / x, 1 at 0: what is left in the mean over a segment."""
    return torch.where(power > _LEAST_SHARE, -torch.expm1(-power) / power.clamp(min=_LEAST_SHARE), 1.0)


def _shared_roots(checkpoints: Sequence[Sequence[Tensor]]) -> list[Floats]:
    taken = [[take_moments([block]) for block in blocks] for blocks in checkpoints]
    joined = [
        GradientMoments(
            np.sqrt(np.mean([one.mean**2 for one in block], axis=0)), np.mean([one.square for one in block], axis=0)
        )
        for block in zip(*taken, strict=True)
    ]
    return find_roots(joined, BATCH_ROWS)

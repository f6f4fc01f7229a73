"""Agreement of each method with `exact` over LoRA ranks: the DataInf paper's Figure 1 (Kwon et al. 2024, section 4.1).

All methods take the same damping there, the paper's; whatever they agree on, `exact` itself may be far from retraining.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import CorrelationRequest, MethodChoice
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Cell, Picture, Report, Table
from influence.damping import DEFAULT_DAMPING_SCALE
from influence.errors import InvalidRequest
from influence.evaluating.agreement import pearson, spearman
from influence.evaluating.statistics import mean_and_interval
from influence.reporting.numbers import count_of
from workers.evaluating.base import Watch
from workers.evaluating.experiment_rows import read_setting
from workers.evaluating.pictures import curves
from workers.evaluating.run import Floats, rounded, score_run
from workers.evaluating.training_progress import Steps
from workers.runtime.state import Runtime

_REFERENCE = MethodChoice(method="exact", damping_scale=DEFAULT_DAMPING_SCALE)
DEFAULT_METHODS = (
    *(MethodChoice(method=name, damping_scale=DEFAULT_DAMPING_SCALE) for name in ("datainf", "lissa", "lissa-paper")),
    MethodChoice(method="hessian_free"),
)
_SEED = 0
_COLUMNS = (
    "rank",
    "method",
    "Pearson, mean loss",
    "Spearman, mean loss",
    "Spearman, a test point",
    "Spearman, a test point low",
    "Spearman, a test point high",
)


class Correlation:
    """One piece a rank and seed: a run, scored by `exact` and by each method."""

    def plan(self, runtime: Runtime, evaluation: Evaluation) -> list[Json]:
        """Raises InvalidRequest where rows, or methods to compare with the reference, are lacking."""
        request = _request_of(evaluation)
        if not _choices(request):
            raise InvalidRequest(
                f"'{_REFERENCE.title}' is what methods are compared with, and no other is named.",
                hint="Name at least one other in 'methods', or leave 'methods' out.",
            )
        read_setting(runtime, evaluation, seed=request.seeds[0])
        return [{"seed": seed, "rank": rank} for seed in request.seeds for rank in request.ranks]

    def run(self, runtime: Runtime, evaluation: Evaluation, piece: Json, watch: Watch) -> Json:
        """Correlations with `exact`: on the mean test loss, and on each test point."""
        request, seed, rank = _request_of(evaluation), int(piece["seed"]), int(piece["rank"])
        setting, steps = read_setting(runtime, evaluation, seed=seed), Steps(watch)
        choices = _choices(request)
        trail, _ = score_run(runtime, evaluation, setting, (_REFERENCE, *choices), seed=seed, steps=steps, rank=rank)
        exact = trail.influence[_REFERENCE.title]
        return {choice.title: _compare(trail.influence[choice.title], exact) for choice in choices}

    def report(self, evaluation: Evaluation, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
        """A line a rank and method, and the curves."""
        request = _request_of(evaluation)
        figures: dict[str, dict[str, Any]] = {}
        rows: list[tuple[Cell, ...]] = []
        for rank in request.ranks:
            found = [result for piece, result in zip(pieces, results, strict=True) if piece["rank"] == rank]
            for choice in _choices(request):
                one = _summarise([result[choice.title] for result in found])
                rows.append((rank, choice.title, one["pearson"], one["spearman"], one["each"], one["low"], one["high"]))
                figures.setdefault(choice.title, {})[str(rank)] = one
        return Report(
            tables=(_table(request, rows, results[0]),),
            pictures=(_draw(request, figures),),
            reading=_read(request, figures),
            figures={"correlations": figures},
        )


def _choices(request: CorrelationRequest) -> tuple[MethodChoice, ...]:
    return tuple(choice for choice in request.methods or DEFAULT_METHODS if choice.title != _REFERENCE.title)


def _compare(influence: Floats, exact: Floats) -> Json:
    mean, true = influence.mean(axis=0), exact.mean(axis=0)
    each = np.asarray([spearman(row, reference) for row, reference in zip(influence, exact, strict=True)])
    return {"pearson": pearson(mean, true), "spearman": spearman(mean, true), "each": rounded(each, 5)}


def _summarise(found: Sequence[Json]) -> Json:
    each = np.concatenate([one["each"] for one in found])
    mean, low, high = mean_and_interval(each, seed=_SEED)
    return {
        "pearson": float(np.mean([one["pearson"] for one in found])),
        "spearman": float(np.mean([one["spearman"] for one in found])),
        "each": mean,
        "low": low,
        "high": high,
    }


def _table(request: CorrelationRequest, rows: Sequence[tuple[Cell, ...]], result: Json) -> Table:
    test_points = len(next(iter(result.values()))["each"])
    return Table(
        name="correlation",
        title=f"Agreement with '{_REFERENCE.title}'",
        columns=_COLUMNS,
        rows=tuple(rows),
        note=f"Influence on the mean test loss and on {test_points} test points; "
        f"{count_of(len(request.seeds), 'seed')}; intervals are over test points.",
    )


def _draw(request: CorrelationRequest, figures: dict[str, dict[str, Any]]) -> Picture:
    return Picture(
        name="correlation",
        title=f"Agreement with '{_REFERENCE.title}'",
        x_label="LoRA rank",
        y_label="Spearman, mean over test points",
        series=curves(figures, request.ranks, "each"),
    )


def _read(request: CorrelationRequest, figures: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    first, last = str(request.ranks[0]), str(request.ranks[-1])
    best = max(figures, key=lambda title: float(figures[title][last]["each"]))
    sentences = [
        f"At rank {last} '{best}' is closest to 'exact': Spearman {figures[best][last]['each']:.2f} a test point."
    ]
    for title, by_rank in figures.items():
        if title.startswith("datainf"):
            sentences.append(
                f"'{title}' goes from {by_rank[first]['each']:.2f} at rank {first} to {by_rank[last]['each']:.2f} at "
                f"rank {last}."
            )
    sentences.append("Closeness to the exact solve is not closeness to retraining: see the evaluation 'lds'.")
    return tuple(sentences)


def _request_of(evaluation: Evaluation) -> CorrelationRequest:
    assert isinstance(evaluation.request, CorrelationRequest)
    return evaluation.request

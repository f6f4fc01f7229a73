"""What leaving out rows did to the test loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from influence.contracts.common import Json
from influence.contracts.evaluation import Cell, LeaveOutRequest, Picture, Report, Table
from influence.evaluating.statistics import mean_and_interval
from influence.reporting.numbers import count_of
from workers.evaluating.pictures import curves

#: Ways of choosing rows beside those of the methods.
NOTHING, AT_RANDOM = "nothing", "at random"
_SEED = 0
_COLUMNS = (
    "rows left out",
    "chosen by",
    "rise of mean test loss",
    "rise of mean test loss low",
    "rise of mean test loss high",
    "rise over random",
)


def make_report(request: LeaveOutRequest, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
    """Rises are against trainings on all rows with the same seeds."""
    losses = {(piece["by"], piece["seed"]): result["losses"] for piece, result in zip(pieces, results, strict=True)}
    seeds = list(dict.fromkeys(piece["seed"] for piece in pieces))
    ways = [way for way in dict.fromkeys(piece["by"] for piece in pieces) if way != NOTHING]
    figures: dict[str, dict[str, Any]] = {way: {} for way in ways}
    rows: list[tuple[Cell, ...]] = []
    for count in request.counts:
        rises = {way: _rises(losses, way, seeds, str(count)) for way in ways}
        for way in ways:
            mean, low, high = mean_and_interval(rises[way], seed=_SEED)
            over = None if way == AT_RANDOM else mean - float(np.mean(rises[AT_RANDOM]))
            rows.append((count, way, mean, low, high, over))
            figures[way][str(count)] = {"rise": mean, "low": low, "high": high, "trainings": rises[way]}
    base = [value for seed in seeds for value in losses[NOTHING, seed]["0"]]
    table = Table(
        name="leave-out",
        title="Change of the mean test loss when rows are left out",
        columns=_COLUMNS,
        rows=tuple(rows),
        note=f"Most {request.drop} rows first; {request.repeats} trainings each for {count_of(len(seeds), 'seed')}; "
        f"the mean test loss with all rows is {np.mean(base):.4f}. 95% bootstrap intervals over trainings.",
    )
    return Report(
        tables=(table,),
        pictures=(_draw(request, figures),),
        reading=_read(request, figures),
        figures={"rises": figures, "loss_with_all_rows": base, "flipped_dropped": _flips(pieces, results)},
    )


def _rises(losses: Any, way: str, seeds: Sequence[int], count: str) -> list[float]:
    return [
        after - before
        for seed in seeds
        for after, before in zip(losses[way, seed][count], losses[NOTHING, seed]["0"], strict=True)
    ]


def _flips(pieces: Sequence[Json], results: Sequence[Json]) -> Json:
    found = [(piece, result) for piece, result in zip(pieces, results, strict=True) if result["flipped_dropped"]]
    return {f"{piece['by']}, seed {piece['seed']}": result["flipped_dropped"] for piece, result in found}


def _draw(request: LeaveOutRequest, figures: dict[str, dict[str, Any]]) -> Picture:
    return Picture(
        name="leave-out",
        title=f"Leaving out the most {request.drop} rows",
        x_label="rows left out",
        y_label="rise of the mean test loss",
        series=curves(figures, request.counts, "rise"),
    )


def _read(request: LeaveOutRequest, figures: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    count = str(max(request.counts))
    random = figures[AT_RANDOM][count]
    sign = 1.0 if request.drop == "helpful" else -1.0
    sentences = []
    for way, by_count in figures.items():
        if way == AT_RANDOM:
            continue
        one = by_count[count]
        clear = one["low"] > random["high"] if sign > 0 else one["high"] < random["low"]
        verdict = "clearly apart from" if clear else "not clearly apart from"
        sentences.append(
            f"Without the {count} most {request.drop} rows by '{way}' the mean test loss changes by "
            f"{one['rise']:+.4f}, {verdict} random rows ({random['rise']:+.4f})."
        )
    return tuple(sentences)

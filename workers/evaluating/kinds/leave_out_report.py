"""What leaving out rows did to the test loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import LeaveOutRequest
from influence.contracts.evaluation.report import Cell, Picture, Report, Table
from influence.evaluating.statistics import mean_and_interval
from influence.reporting.numbers import count_of
from workers.evaluating.pictures import curves

#: Ways of choosing rows beside those of the methods.
NOTHING, AT_RANDOM, AS_GIVEN = "nothing", "at random", "as given"
_SEED = 0
_COLUMNS = (
    "rows left out",
    "chosen by",
    "rise of mean test loss",
    "rise of mean test loss low",
    "rise of mean test loss high",
    "rise over random",
    "rise over random low",
    "rise over random high",
)


def make_report(request: LeaveOutRequest, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
    """Rises are against trainings on all rows with the same seeds, and over random rows pair by pair."""
    losses = {(piece["by"], piece["seed"]): result["losses"] for piece, result in zip(pieces, results, strict=True)}
    seeds = list(dict.fromkeys(piece["seed"] for piece in pieces))
    ways = [way for way in dict.fromkeys(piece["by"] for piece in pieces) if way != NOTHING]
    figures: dict[str, dict[str, Any]] = {way: {} for way in ways}
    rows: list[tuple[Cell, ...]] = []
    counts = [int(count) for count in losses[AT_RANDOM, seeds[0]]]
    for count in counts:
        rises = {way: _rises(losses, way, seeds, str(count)) for way in ways}
        for way in ways:
            mean, low, high = mean_and_interval(rises[way], seed=_SEED)
            over = _over_random(rises, way)
            rows.append((count, way, mean, low, high, *over))
            figures[way][str(count)] = {"rise": mean, "low": low, "high": high, "trainings": rises[way], "over": over}
    base = [value for seed in seeds for value in losses[NOTHING, seed]["0"]]
    table = Table(
        name="leave-out",
        title="Change of the mean test loss when rows are left out",
        columns=_COLUMNS,
        rows=tuple(rows),
        note=f"{_chosen(request)}; {request.repeats} trainings each for {count_of(len(seeds), 'seed')}; "
        f"the mean test loss with all rows is {np.mean(base):.4f}. 95% bootstrap intervals over trainings.",
    )
    return Report(
        tables=(table, *_beside(request, figures, counts)),
        pictures=(_draw(request, figures, counts),),
        reading=_read(request, figures, counts),
        figures={"rises": figures, "loss_with_all_rows": base, "flipped_dropped": _flips(pieces, results)},
    )


def _rises(losses: Any, way: str, seeds: Sequence[int], count: str) -> list[float]:
    return [
        after - before
        for seed in seeds
        for after, before in zip(losses[way, seed][count], losses[NOTHING, seed]["0"], strict=True)
    ]


def _over_random(rises: dict[str, list[float]], way: str) -> tuple[float, float, float] | tuple[None, None, None]:
    """Mean and interval of what a way adds to random rows, trainings of one seed paired."""
    if way == AT_RANDOM:
        return None, None, None
    pairs = zip(rises[way], rises[AT_RANDOM], strict=True)
    return mean_and_interval([one - other for one, other in pairs], seed=_SEED)


def _chosen(request: LeaveOutRequest) -> str:
    return "The caller's rows" if request.row_indexes is not None else f"Most {request.drop} rows first"


def _beside(request: LeaveOutRequest, figures: dict[str, dict[str, Any]], counts: Sequence[int]) -> tuple[Table, ...]:
    """What scores had said, beside what training says."""
    if request.predicted is None:
        return ()
    (measured,) = (figures[AS_GIVEN][str(count)] for count in counts)
    columns = (
        "predicted effect",
        "predicted percentile among random sets",
        "predicted change of loss",
        "measured change of loss",
        "measured change of loss low",
        "measured change of loss high",
    )
    said = request.predicted
    row = (said.effect, said.percentile, said.change, measured["rise"], measured["low"], measured["high"])
    note = "An effect is a sum of scores: below 0 the loss was to fall. It is in units of loss only where calibrated."
    return (Table(name="predicted", title="Predicted beside measured", columns=columns, rows=(row,), note=note),)


def _flips(pieces: Sequence[Json], results: Sequence[Json]) -> Json:
    found = [(piece, result) for piece, result in zip(pieces, results, strict=True) if result["flipped_dropped"]]
    return {f"{piece['by']}, seed {piece['seed']}": result["flipped_dropped"] for piece, result in found}


def _draw(request: LeaveOutRequest, figures: dict[str, dict[str, Any]], counts: Sequence[int]) -> Picture:
    return Picture(
        name="leave-out",
        title="Leaving out the caller's rows"
        if request.row_indexes is not None
        else f"Leaving out the most {request.drop} rows",
        x_label="rows left out",
        y_label="rise of the mean test loss",
        series=curves(figures, counts, "rise"),
    )


def _read(request: LeaveOutRequest, figures: dict[str, dict[str, Any]], counts: Sequence[int]) -> tuple[str, ...]:
    count = str(max(counts))
    random = figures[AT_RANDOM][count]
    sentences = []
    for way, by_count in figures.items():
        if way == AT_RANDOM:
            continue
        one = by_count[count]
        over, low, high = one["over"]
        verdict = "clearly apart from" if low > 0 or high < 0 else "not clearly apart from"
        whose = "rows given" if way == AS_GIVEN else f"most {request.drop} rows by '{way}'"
        sentences.append(
            f"Without the {count} {whose} the mean test loss changes by {one['rise']:+.4f}, {verdict} random rows "
            f"({random['rise']:+.4f}): paired, {over:+.4f} ({low:+.4f} to {high:+.4f}) more than without those."
        )
    return tuple(sentences)

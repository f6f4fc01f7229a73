"""What linear datamodelling scores say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import LdsRequest
from influence.contracts.evaluation.report import Cell, Picture, Report, Table
from influence.evaluating.datamodel import linear_datamodelling_scores, ratio_interval
from influence.evaluating.reliability import Ceiling, agreement_of_trainings, find_ceiling, share_of_ceiling
from influence.evaluating.statistics import mean_and_interval
from workers.evaluating.kinds.lds_baselines import compare_baselines, read_baselines, tabulate_baselines
from workers.evaluating.kinds.lds_ceiling import read_ceiling, tabulate_ceiling
from workers.evaluating.pictures import with_interval

_SEED = 0
_SHARE_COLUMNS = ("share of ceiling", "share of ceiling low", "share of ceiling high")
Floats = NDArray[np.float64]


def make_report(request: LdsRequest, names: Sequence[str], runs: Sequence[Json]) -> Report:
    """One run a seed: `predicted` by the names of methods (subsets, test points), and `measured` of the same shape, the
    mean of `trainings` (trainings, subsets, test points)."""
    by_seed = {
        name: [linear_datamodelling_scores(run["predicted"][name], run["measured"]) for run in runs] for name in names
    }
    groups = np.concatenate([np.full(len(values), number) for number, values in enumerate(by_seed[names[0]])])
    pooled = {name: np.concatenate(values) for name, values in by_seed.items()}
    found = {name: _figures(name, pooled, by_seed[name], groups) for name in names}
    ceiling = _find_ceiling(request, runs, pooled, groups, found)
    best = max(names, key=lambda name: float(found[name]["lds"]))
    baselines = compare_baselines(runs, pooled, groups, best)
    series = with_interval("LDS", names, [found[name] for name in names], "lds")
    picture = Picture(
        name="lds",
        title="Agreement with retraining",
        x_label="",
        y_label="linear datamodelling score",
        kind="bars",
        series=(series,),
    )
    losses = [float(np.mean(run["measured"])) for run in runs]
    return Report(
        tables=(
            _table(request, runs, found),
            *(() if ceiling is None else (tabulate_ceiling(request, ceiling),)),
            *((tabulate_baselines(baselines),) if baselines else ()),
        ),
        pictures=(picture,),
        reading=(
            *_read(found),
            *(() if ceiling is None else read_ceiling(ceiling, found)),
            *read_baselines(baselines),
            *_read_seeds(request),
        ),
        figures={
            "lds": found,
            "mean_test_loss_of_subsets": losses,
            "baselines": baselines,
            **({} if ceiling is None else {"ceiling": ceiling.to_json()}),
        },
    )


def _find_ceiling(
    request: LdsRequest,
    runs: Sequence[Json],
    pooled: dict[str, Floats],
    groups: NDArray[np.int64],
    found: dict[str, Any],
) -> Ceiling | None:
    """What trainings of a subset leave to predict, every method's share put into its figures; None for one training."""
    trainings = request.retrain_seeds
    if trainings < 2:
        return None
    agreement = np.concatenate([agreement_of_trainings(run["trainings"]) for run in runs])
    for name, figures in found.items():
        share = share_of_ceiling(pooled[name], agreement, groups, trainings, seed=_SEED)
        figures["share_of_ceiling"] = [value if np.isfinite(value) else None for value in share]
    return find_ceiling(agreement, trainings)


def _figures(name: str, pooled: dict[str, Floats], by_seed: Sequence[Floats], groups: NDArray[np.int64]) -> Json:
    mean, low, high = mean_and_interval(pooled[name], seed=_SEED)
    figures: Json = {"lds": mean, "low": low, "high": high, "by_seed": [float(values.mean()) for values in by_seed]}
    if "datainf" in pooled and name != "datainf":
        ratio = ratio_interval(pooled[name], pooled["datainf"], groups, seed=_SEED)
        figures["over_datainf"] = [value if np.isfinite(value) else None for value in ratio]
    return figures


def _table(request: LdsRequest, runs: Sequence[Json], found: dict[str, Any]) -> Table:
    seeds = tuple(f"seed {run['seed']}" for run in runs)
    rows: list[tuple[Cell, ...]] = []
    for name, figures in found.items():
        ratio = figures.get("over_datainf", [None, None, None])
        share = figures.get("share_of_ceiling", [])
        rows.append((name, figures["lds"], figures["low"], figures["high"], *ratio, *share, *figures["by_seed"]))
    share_columns = _SHARE_COLUMNS if request.retrain_seeds > 1 else ()
    return Table(
        name="lds",
        title="Linear datamodelling score",
        columns=(
            "method",
            "LDS",
            "LDS low",
            "LDS high",
            "over datainf",
            "over datainf low",
            "over datainf high",
            *share_columns,
            *seeds,
        ),
        rows=tuple(rows),
        note=f"{runs[0]['rows']} training rows, {request.subsets * request.retrain_seeds} trainings a seed on "
        f"{_subsets(request)} of {request.subset_share:.0%}, {runs[0]['tests']} test points; Spearman over subsets, "
        "mean over test points, 95% bootstrap intervals over test points.",
    )


def _subsets(request: LdsRequest) -> str:
    return "random subsets" if request.retrain_seeds == 1 else f"{request.subsets} random subsets"


def _read_seeds(request: LdsRequest) -> tuple[str, ...]:
    if not request.same_seed:
        return ()
    return (
        "All subsets were trained from the same seeds: the truth here is that of those seeds, less noisy than the mean "
        "over seeds and not the same.",
    )


def _read(found: dict[str, Any]) -> tuple[str, ...]:
    best = max(found, key=lambda name: float(found[name]["lds"]))
    sentences = [
        f"'{best}' agrees best with retraining here: {found[best]['lds']:.3f} "
        f"({found[best]['low']:.3f} to {found[best]['high']:.3f}).",
    ]
    if "datainf" in found and best != "datainf":
        sentences.append(f"DataInf reaches {found['datainf']['lds']:.3f}.")
    unsure = [name for name, figures in found.items() if figures["low"] <= 0]
    if unsure:
        sentences.append(f"No better than chance, as far as can be told: {', '.join(unsure)}.")
    sentences.append("Agreement is of ranks over subsets; it says nothing about the size of changes of loss.")
    return tuple(sentences)

"""What linear datamodelling scores say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.evaluation import Cell, LdsRequest, Picture, Report, Table
from influence.evaluating.datamodel import linear_datamodelling_scores, ratio_interval
from influence.evaluating.statistics import mean_and_interval
from workers.evaluating.pictures import with_interval

_SEED = 0
Floats = NDArray[np.float64]


def make_report(request: LdsRequest, names: Sequence[str], runs: Sequence[Json]) -> Report:
    """One run a seed: `predicted` by the names of methods (subsets, test points) and `measured` of the same shape."""
    by_seed = {
        name: [linear_datamodelling_scores(run["predicted"][name], run["measured"]) for run in runs] for name in names
    }
    groups = np.concatenate([np.full(len(values), number) for number, values in enumerate(by_seed[names[0]])])
    pooled = {name: np.concatenate(values) for name, values in by_seed.items()}
    found = {name: _figures(name, pooled, by_seed[name], groups) for name in names}
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
        tables=(_table(request, runs, found),),
        pictures=(picture,),
        reading=_read(found),
        figures={"lds": found, "mean_test_loss_of_subsets": losses},
    )


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
        rows.append((name, figures["lds"], figures["low"], figures["high"], *ratio, *figures["by_seed"]))
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
            *seeds,
        ),
        rows=tuple(rows),
        note=f"{runs[0]['rows']} training rows, {request.subsets} trainings a seed on random subsets of "
        f"{request.subset_share:.0%}, {runs[0]['tests']} test points; Spearman over subsets, mean over test points, "
        "95% bootstrap intervals over test points.",
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

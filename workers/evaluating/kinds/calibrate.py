"""A scale from scores to predicted change of loss, fitted on trainings without random rows.

Without it a score says nothing about the size of a change: the sum of scores of rows left out is off by several times.
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import CalibrateRequest
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Cell, Picture, Report, Series, Table
from influence.contracts.index import Calibration, Index
from influence.evaluating.datamodel import SLOPES, calibrate
from influence.methods.registry import get_method
from influence.ranking.order import scores_of
from workers.evaluating.base import Watch
from workers.evaluating.experiment_rows import Setting, read_setting
from workers.evaluating.index_scores import score_indexed
from workers.evaluating.kinds.lds import INDEXED_METHODS, measure_subset, subsets_of
from workers.evaluating.run import rounded
from workers.evaluating.training_progress import Steps
from workers.runtime.state import Runtime

_SEED = 0
_KEPT = ("method", "damping_scale", "scale", "low", "high", "correlation", "slope", "left_out_share", "is_useful")
_FITTED = ("scale", "scale low", "scale high", "correlation", "error", "spread", "held-out slope")
_COLUMNS = ("method", "damping scale", *_FITTED, "usable")


class Calibrate:
    """One piece with the index's scores, and one a subset that is trained on."""

    def plan(self, runtime: Runtime, evaluation: Evaluation) -> list[Json]:
        """Raises InvalidRequest without test points."""
        read_setting(runtime, evaluation, seed=_SEED)
        return [{"scores": True}, *({"subset": number} for number in range(_request_of(evaluation).subsets))]

    def run(self, runtime: Runtime, evaluation: Evaluation, piece: Json, watch: Watch) -> Json:
        """Summed scores of the rows that each subset leaves out, on the mean test loss; or a subset's test losses."""
        setting = read_setting(runtime, evaluation, seed=_SEED)
        subsets = subsets_of(_request_of(evaluation), len(setting.train), _SEED)
        if "subset" not in piece:
            return {"left_out": _sum_left_out(runtime, evaluation, setting, subsets, watch)}
        return measure_subset(runtime, evaluation, setting, subsets[int(piece["subset"])], int(piece["subset"]), watch)

    def report(self, evaluation: Evaluation, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
        """One line a method, usable where its interval keeps clear of zero and held-out changes are as predicted."""
        request = _request_of(evaluation)
        changes = [float(np.mean(result["losses"])) for result in results if "losses" in result]
        sums = next(result["left_out"] for result in results if "left_out" in result)
        rows: list[tuple[Cell, ...]] = []
        series, figures = [], []
        for choice in (one for one in request.methods or INDEXED_METHODS if one.title in sums):
            found = calibrate(sums[choice.title], changes, seed=_SEED)
            scale = get_method(choice.method).damping_scale(choice.damping_scale)
            usable = "yes" if found.is_useful else "no"
            rows.append(
                (
                    choice.title,
                    scale,
                    found.scale,
                    found.low,
                    found.high,
                    found.correlation,
                    found.error,
                    found.spread,
                    found.slope,
                    usable,
                )
            )
            predicted = found.scale * (np.asarray(sums[choice.title]) - np.mean(sums[choice.title]))
            series.append(
                Series(label=choice.title, x=tuple(predicted), y=tuple(np.asarray(changes) - np.mean(changes)))
            )
            figures.append(
                {
                    "method": choice.method,
                    "damping_scale": scale,
                    "left_out_share": 1 - request.subset_share,
                    **asdict(found),
                    "is_useful": found.is_useful,
                }
            )
        return Report(
            tables=(_table(request, rows),),
            pictures=(_draw(series),),
            reading=_read(figures),
            figures={"calibrations": figures},
        )

    def conclude(self, runtime: Runtime, evaluation: Evaluation, report: Report) -> None:
        """Keep the scales with the index, so that its answers can state changes of loss."""
        found = tuple(
            Calibration(evaluation_id=evaluation.id, **{name: one[name] for name in _KEPT})
            for one in report.figures["calibrations"]
        )
        known = {(one.method, one.damping_scale) for one in found}

        def add(index: Index) -> Index:
            others = [one for one in index.calibrations if (one.method, one.damping_scale) not in known]
            return index.model_copy(update={"calibrations": (*others, *found)})

        runtime.store.indexes.update(str(evaluation.request.index_id), add)


def _sum_left_out(
    runtime: Runtime, evaluation: Evaluation, setting: Setting, subsets: NDArray[np.bool_], watch: Watch
) -> dict[str, list[object]]:
    choices = _request_of(evaluation).methods or INDEXED_METHODS
    found = score_indexed(runtime, evaluation, setting.test, choices, Steps(watch).touch)
    return {title: rounded((~subsets) @ scores_of(influence.mean(axis=0))) for title, influence in found.items()}


def _table(request: CalibrateRequest, rows: Sequence[tuple[Cell, ...]]) -> Table:
    return Table(
        name="calibration",
        title="Change of the mean test loss for one unit of summed score left out",
        columns=_COLUMNS,
        rows=tuple(rows),
        note=f"{request.subsets} trainings on random {request.subset_share:.0%} of the rows. 'spread' is the root mean "
        "square of the measured changes, 'error' what the scale leaves of it. 'held-out slope': of measured on "
        f"predicted changes, each third of the subsets by the others; usable from {SLOPES[0]} to {SLOPES[1]}.",
    )


def _draw(series: Sequence[Series]) -> Picture:
    return Picture(
        name="calibration",
        title="Predicted and measured changes",
        x_label="predicted change of loss",
        y_label="measured change of loss",
        kind="points",
        series=tuple(series),
    )


def _read(figures: Sequence[Json]) -> tuple[str, ...]:
    useful = [one for one in figures if one["is_useful"]]
    if not useful:
        return (
            "No method's scale keeps clear of zero and holds on subsets that it was not fitted to: scores of this "
            "index say nothing about the size of changes.",
        )
    best = max(useful, key=lambda one: float(one["correlation"]))
    return (
        f"'{best['method']}' predicts changes best (correlation {best['correlation']:.2f}): leaving out rows changes "
        f"the mean test loss by {best['scale']:.3g} ({best['low']:.3g} to {best['high']:.3g}) times the sum of their "
        "scores.",
        "The scale holds for leaving out about as many rows as here, and for the mean of these test points.",
    )


def _request_of(evaluation: Evaluation) -> CalibrateRequest:
    assert isinstance(evaluation.request, CalibrateRequest)
    return evaluation.request

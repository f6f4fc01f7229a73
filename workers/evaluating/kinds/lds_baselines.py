"""What needs no gradient, held against the same retrainings: similarity of embeddings, and the rows' own losses.

What scores say that these do not is what influence is worth on a data set.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.evaluation.report import Cell, Table
from influence.evaluating.datamodel import linear_datamodelling_scores, ratio_interval
from influence.evaluating.statistics import mean_and_interval
from workers.evaluating.kinds.attribution_scopes import find_likeness
from workers.rows import EncodedRow, Row
from workers.runtime.models import HotModel
from workers.runtime.row_stream import stream_forward
from workers.runtime.state import Runtime
from workers.tasks.base import Pictured, Task

_SEED = 0
_COLUMNS = ("baseline", "LDS", "LDS low", "LDS high", "best method", "ahead", "ahead low", "ahead high", "over")
Floats = NDArray[np.float64]


def score_baselines(runtime: Runtime, model: HotModel, train: Sequence[Row], test: Sequence[Row]) -> dict[str, Floats]:
    """Influence (m, n) that each baseline stands in for: rows that are alike help, rows of high loss harm everybody."""
    rows, tests = model.task.tokenise(train), model.task.tokenise(test)
    # Of images an index may have gradients of something else than the loss.
    task = model.task.measured_by("loss") if isinstance(model.task, Pictured) else model.task
    losses = _losses(runtime, model, task, rows)
    alike = {name: -values for name, values in find_likeness(runtime, model, rows, tests).items()}
    return dict(sorted({**alike, "loss": np.tile(losses, (len(tests), 1))}.items()))


def _losses(runtime: Runtime, model: HotModel, task: Task, encoded: Sequence[EncodedRow]) -> Floats:
    losses = np.empty(len(encoded))
    for positions, found in stream_forward(runtime, model, encoded, task.row_losses):
        losses[positions] = found.double().cpu().numpy()
    return losses


def compare_baselines(
    runs: Sequence[Json], pooled: Mapping[str, Floats], groups: NDArray[np.int64], best: str
) -> dict[str, Json]:
    """Figures of every baseline that all runs have, `best` being the method that agrees best: its lead is over the
    same test points."""
    names = [name for name in runs[0].get("baselines", {}) if all(name in run.get("baselines", {}) for run in runs)]
    found: dict[str, Json] = {}
    for name in names:
        scores = np.concatenate([linear_datamodelling_scores(run["baselines"][name], run["measured"]) for run in runs])
        mean, low, high = mean_and_interval(scores, seed=_SEED)
        over = ratio_interval(pooled[best], scores, groups, seed=_SEED)
        found[name] = {
            "lds": mean,
            "low": low,
            "high": high,
            "best_method": best,
            "ahead": list(mean_and_interval(pooled[best] - scores, seed=_SEED)),
            "over": [value if np.isfinite(value) else None for value in over],
        }
    return found


def tabulate_baselines(found: Mapping[str, Json]) -> Table:
    """A line per baseline, and how far the best method is ahead of it."""
    rows: list[tuple[Cell, ...]] = [
        (name, one["lds"], one["low"], one["high"], one["best_method"], *one["ahead"], one["over"][0])
        for name, one in found.items()
    ]
    return Table(
        name="baselines",
        title="Baselines: what needs no gradient",
        columns=_COLUMNS,
        rows=tuple(rows),
        note="'embedding': rows that read or look alike help; 'loss': rows of high loss harm every test point. Both by "
        "the model after its training; 'pixel distance', of images, without one. 'ahead': the best method's score less "
        "the baseline's on the same test points; 'over': the ratio.",
    )


#: Baseline -> what it is called in a sentence, and what it says of rows.
_SAID = {
    "embedding": ("Similarity of embeddings", "which rows read alike"),
    "loss": ("The rows' own loss", "which rows have a high loss"),
    "pixel distance": ("Distance of pixels", "which pictures look alike"),
}


def read_baselines(found: Mapping[str, Json]) -> tuple[str, ...]:
    """What influence adds that needs no gradient cannot, in sentences; nothing of what is behind but similarity."""
    return tuple(
        sentence
        for name, (called, says) in _SAID.items()
        if name in found and (sentence := _read_baseline(found[name], called, says, is_asked=name == "embedding"))
    )


def _read_baseline(one: Json, called: str, says: str, *, is_asked: bool) -> str:
    ahead, low, high = one["ahead"]
    if high < 0:
        return (
            f"{called} reaches {one['lds']:.3f}, {-ahead:.3f} more than '{one['best_method']}' ({-high:.3f} to "
            f"{-low:.3f}): here no method says as much as {says}, and scores alone are nothing to act on."
        )
    if low <= 0:
        return f"{called} reaches {one['lds']:.3f}: no method here can be told to say more than {says}."
    if not is_asked:
        return ""
    return (
        f"{called} reaches {one['lds']:.3f}: '{one['best_method']}' is {ahead:.3f} ahead ({low:.3f} to "
        f"{high:.3f}), which is what influence says beyond rows that read alike."
    )

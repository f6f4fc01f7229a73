"""Which signals find wrong labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import MislabelledRequest
from influence.contracts.evaluation.report import Cell, Picture, Report, Series, Table
from influence.reporting.numbers import count_of

#: Shares of the rows looked at, at which precision and recall are kept.
DEPTHS = tuple(place / 40 for place in range(1, 41))
_COLUMNS = ("signal", "AUC", "AUC low", "AUC high", "precision among as many rows as were flipped")
_DRAWN = 6


def make_report(request: MislabelledRequest, results: Sequence[Json]) -> Report:
    """Means over seeds; intervals are of the mean, with every seed's rows drawn anew."""
    names = list(results[0]["signals"])
    figures = {name: _summarise([result["signals"][name] for result in results]) for name in names}
    order = sorted(names, key=lambda name: -float(figures[name]["auc"]))
    rows: list[tuple[Cell, ...]] = [
        (name, figures[name]["auc"], figures[name]["low"], figures[name]["high"], figures[name]["precision_at_flips"])
        for name in order
    ]
    table = Table(
        name="mislabelled",
        title="Finding wrong labels",
        columns=_COLUMNS,
        rows=tuple(rows),
        note=f"{results[0]['rows']} training rows, {results[0]['flipped']} labels made wrong, "
        f"{count_of(len(results), 'seed')}. A method's signal is influence on the mean test loss, harmful first; "
        "self-influence and loss highest first.",
    )
    return Report(
        tables=(table,), pictures=_draw(order, figures), reading=_read(order, figures), figures={"signals": figures}
    )


def _summarise(found: Sequence[Json]) -> Json:
    drawn = np.mean([one["drawn"] for one in found], axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "auc": float(np.mean([one["auc"] for one in found])),
        "low": float(low),
        "high": float(high),
        "by_seed": [one["auc"] for one in found],
        "precision_at_flips": float(np.mean([one["precision_at_flips"] for one in found])),
        "recall": np.mean([one["recall"] for one in found], axis=0).tolist(),
        "precision": np.mean([one["precision"] for one in found], axis=0).tolist(),
    }


def _draw(order: Sequence[str], figures: dict[str, Any]) -> tuple[Picture, ...]:
    shown = list(order[:_DRAWN])
    shown += [name for name in ("datainf", "exact") if name in figures and name not in shown]
    pictures = []
    for what, title in (("recall", "Wrong labels found"), ("precision", "Share of wrong labels among rows looked at")):
        series = tuple(Series(label=name, x=DEPTHS, y=tuple(figures[name][what])) for name in shown)
        pictures.append(Picture(name=what, title=title, x_label="share of rows looked at", y_label=what, series=series))
    return tuple(pictures)


def _read(order: Sequence[str], figures: dict[str, Any]) -> tuple[str, ...]:
    loss = next(name for name in order if name.startswith("training loss"))
    ahead = [name for name in order if figures[name]["low"] > figures[loss]["high"]]
    sentences = [
        f"'{order[0]}' finds wrong labels best: AUC {figures[order[0]]['auc']:.3f} "
        f"({figures[order[0]]['low']:.3f} to {figures[order[0]]['high']:.3f}).",
        f"The training loss, which costs nothing, reaches {figures[loss]['auc']:.3f}; "
        + (f"clearly ahead of it: {', '.join(ahead)}." if ahead else "no method is clearly ahead of it."),
    ]
    worse = [name for name in order if figures[name]["high"] < 0.5]
    if worse:
        sentences.append(f"Worse than chance, so that their order misleads: {', '.join(worse)}.")
    return tuple(sentences)

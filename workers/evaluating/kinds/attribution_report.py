"""The report of a class attribution: who finds rows of a test row's class, and what that does and does not say."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from influence.contracts.common import Json, Reduction
from influence.contracts.evaluation.report import Cell, Picture, Report, Series, Table
from influence.evaluating.statistics import mean_and_interval
from workers.evaluating.kinds.attribution_reading import CHANCE_AUC, make_reading, of_images
from workers.evaluating.kinds.attribution_scores import CURVE
from workers.evaluating.pictures import with_interval

#: What gradients are taken of, as tables and pictures say it.
_TAKEN_OF = {
    "completion": "loss on the completion",
    "prompt": "loss on the prompt",
    "loss": "loss of training",
    "square": "square of the output",
}
#: What the losses of the models' table are.
_OF_LOSSES = {
    "mean": "Losses are means a row, on completions; that of a base model made from the rows is on all tokens.",
    "sum": "In training losses are means over the tokens of completions, those of test rows sums over them; that of a "
    "base model made from the rows is on all tokens.",
}
_OF_DRAWS = "Losses are means a row: before and after over the timesteps of the scores, in training over drawn ones."
#: What is measured a test row, and its name in tables.
MEASURES = {"auc": "AUC", "auc_by_size": "AUC by size", "recall": "recall", "recall_by_size": "recall by size"}
_INTERVAL_COLUMNS = tuple(part for name in MEASURES.values() for part in (name, f"{name} low", f"{name} high"))
_INTERVAL_SEED = 0
Floats = NDArray[np.float64]


def make_report(titles: Sequence[str], results: Sequence[Json], reduction: Reduction = "mean") -> Report:
    """Tables, pictures, reading and figures from one result a seed; test rows are the same in all of them, and
    `reduction` is what training made of a row's losses on tokens."""
    scopes, baselines = tuple(results[0]["scopes"]), results[0].get("baselines", {})
    figures = {
        "scopes": list(scopes),
        "methods": [_figures(title, scope, results) for scope in scopes for title in titles],
        "baselines": [_baseline_figures(name, results) for name in baselines],
        "recall_by_chance": _chance_recall(results[0]),
        "test_points": len(results[0]["test_rows"]),
        "seeds": [result["seed"] for result in results],
        "prompts_naming_class": results[0]["prompts_naming_class"],
        "train_rows": results[0]["train_rows"],
        **{name: float(np.mean([result[name] for result in results])) for name in ("test_loss_before", "test_loss")},
    }
    return Report(
        tables=(
            _method_table(figures),
            *((_baseline_table(figures),) if baselines else ()),
            _class_table(titles, results, scopes[0]),
            _model_table(results, scopes[0], reduction),
        ),
        pictures=(
            _bars(titles, figures),
            _curves(titles, results, scopes[0], "curve", "found", "score"),
            _curves(titles, results, scopes[0], "curve_by_size", "found-by-size", "size of the score"),
        ),
        reading=make_reading(figures),
        figures=figures,
    )


def _values(results: Sequence[Json], scope: str, title: str, what: str) -> Floats:
    """One number a test row, its mean over seeds."""
    mean: Floats = np.mean([result["scopes"][scope][title][what] for result in results], axis=0)
    return mean


def _figures(title: str, scope: str, results: Sequence[Json]) -> Json:
    measured = {what: _values(results, scope, title, what) for what in MEASURES}
    return {"method": title, "loss": scope, **_with_intervals(measured)}


def _baseline_figures(name: str, results: Sequence[Json]) -> Json:
    measured = {what: np.mean([result["baselines"][name][what] for result in results], axis=0) for what in MEASURES}
    return {"method": name, **_with_intervals(measured)}


def _with_intervals(measured: Mapping[str, Floats]) -> Json:
    return {
        what: dict(zip(("mean", "low", "high"), mean_and_interval(values, seed=_INTERVAL_SEED), strict=True))
        for what, values in measured.items()
    }


def _chance_recall(result: Json) -> float:
    """What looking at as many rows as a class has finds by chance: the class's share of the rows, mean over tests."""
    sizes = [result["train_classes"][name] for name in result["test_classes"]]
    return float(np.mean(sizes)) / float(result["train_rows"])


def _method_table(figures: Json) -> Table:
    columns = ("method", "gradient of" if of_images(figures) else "loss on", *_INTERVAL_COLUMNS)
    return Table(
        name="methods",
        title="Training rows of the test row's class among all",
        columns=columns,
        rows=tuple(_method_row(line) for line in figures["methods"]),
        note=f"Mean over {figures['test_points']} test rows with its 95% bootstrap interval over them. By chance AUC is"
        f" {CHANCE_AUC} and recall {figures['recall_by_chance']:.3f}. Recall looks at as many rows as the class has."
        " 'By size' ranks by the score's absolute value: rows that help and rows that harm alike.",
    )


def _method_row(line: Json) -> tuple[Cell, ...]:
    return (line["method"], line["loss"], *_numbers(line))


def _numbers(line: Json) -> list[Cell]:
    return [line[what][end] for what in MEASURES for end in ("mean", "low", "high")]


def _baseline_table(figures: Json) -> Table:
    return Table(
        name="baselines",
        title=f"Baselines: what {'looks' if of_images(figures) else 'reads'} alike",
        columns=("baseline", *_INTERVAL_COLUMNS),
        rows=tuple((line["method"], *_numbers(line)) for line in figures["baselines"]),
        note="'embedding': the cosine of latents, or of pixels where a pipeline works on them; 'pixel distance': the "
        "squared distance of pixels at the model's resolution. Neither has a gradient."
        if of_images(figures)
        else "'embedding': the cosine of mean hidden states of prompt and completion, by the model after its training.",
    )


def _class_table(titles: Sequence[str], results: Sequence[Json], scope: str) -> Table:
    classes, sizes = np.asarray(results[0]["test_classes"]), results[0]["train_classes"]
    areas = {title: _values(results, scope, title, "auc_by_size") for title in titles}
    rows: list[tuple[Cell, ...]] = []
    for name in sorted(set(classes.tolist())):
        marks = classes == name
        means = [float(areas[title][marks].mean()) for title in titles]
        rows.append((name, int(sizes[name]), int(marks.sum()), *means))
    return Table(
        name="classes",
        title=f"AUC by size, class by class, {_TAKEN_OF[scope]}",
        columns=("class", "training rows", "test rows", *titles),
        rows=tuple(rows),
    )


def _model_table(results: Sequence[Json], scope: str, reduction: Reduction) -> Table:
    columns = ("seed", "base model's loss", "training loss", "test loss before", "test loss after")
    names = ("seed", "base_loss", "train_loss", "test_loss_before", "test_loss")
    return Table(
        name="models",
        title="The models that were asked",
        columns=columns,
        rows=tuple(tuple(result[name] for name in names) for result in results),
        note=_OF_LOSSES[reduction] if scope == "completion" else _OF_DRAWS,
    )


def _bars(titles: Sequence[str], figures: Json) -> Picture:
    measures = {"auc": "by score", "auc_by_size": "by size"}
    series = [
        with_interval(
            f"{scope}, {name}", titles, [line[what] for line in figures["methods"] if line["loss"] == scope], "mean"
        )
        for scope in figures["scopes"]
        for what, name in measures.items()
    ]
    return Picture(
        name="auc",
        title="Rows of the test row's class against all others (by chance 0.5)",
        x_label="method",
        y_label="AUC",
        kind="bars",
        series=tuple(series),
    )


def _curves(titles: Sequence[str], results: Sequence[Json], scope: str, what: str, name: str, ranked: str) -> Picture:
    lines = [Series(label=title, x=CURVE, y=tuple(_values(results, scope, title, what).tolist())) for title in titles]
    return Picture(
        name=name,
        title=f"Rows of the class found by {ranked}, {_TAKEN_OF[scope]}",
        x_label="share of training rows looked at",
        y_label="share of the class found",
        series=(*lines, Series(label="chance", x=CURVE, y=CURVE)),
    )

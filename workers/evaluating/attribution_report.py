"""The report of a class attribution: who finds rows of a test row's class, and what that does and does not say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.evaluation import Cell, Picture, Report, Series, Table
from influence.evaluating.statistics import mean_and_interval
from workers.evaluating.attribution_scores import CURVE

SCOPES = ("completion", "prompt")
_CHANCE_AUC = 0.5
_INTERVAL_SEED = 0
#: From this share on it counts as the rule that a prompt names its class.
_MOST = 0.5
Floats = NDArray[np.float64]


def make_report(titles: Sequence[str], results: Sequence[Json]) -> Report:
    """Tables, pictures, reading and figures from one result a seed; test rows are the same in all of them."""
    figures = {
        "methods": [_figures(title, scope, results) for scope in SCOPES for title in titles],
        "recall_by_chance": _chance_recall(results[0]), "test_points": len(results[0]["test_rows"]),
        "seeds": [result["seed"] for result in results], "prompts_naming_class": results[0]["prompts_naming_class"],
        "train_rows": results[0]["train_rows"],
    }  # fmt: skip
    return Report(
        tables=(_method_table(figures), _class_table(titles, results), _model_table(results)),
        pictures=(_bars(titles, figures), _curves(titles, results)),
        reading=_reading(figures),
        figures=figures,
    )


def _values(results: Sequence[Json], scope: str, title: str, what: str) -> Floats:
    """One number a test row, its mean over seeds."""
    mean: Floats = np.mean([result["scopes"][scope][title][what] for result in results], axis=0)
    return mean


def _figures(title: str, scope: str, results: Sequence[Json]) -> Json:
    found: Json = {"method": title, "loss": scope}
    for what in ("auc", "recall", "auc_by_size", "recall_by_size"):
        values = _values(results, scope, title, what)
        found[what] = dict(zip(("mean", "low", "high"), mean_and_interval(values, seed=_INTERVAL_SEED), strict=True))
    return found


def _chance_recall(result: Json) -> float:
    """What looking at as many rows as a class has finds by chance: the class's share of the rows, mean over tests."""
    sizes = [result["train_classes"][name] for name in result["test_classes"]]
    return float(np.mean(sizes)) / float(result["train_rows"])


def _method_table(figures: Json) -> Table:
    columns = (
        "method", "loss on", "AUC", "AUC low", "AUC high", "recall", "recall low", "recall high", "AUC by size",
        "recall by size",
    )  # fmt: skip
    rows = tuple(_method_row(line) for line in figures["methods"])
    return Table(
        name="methods", title="Training rows of the test row's class, found by score", columns=columns, rows=rows,
        note=f"Mean over {figures['test_points']} test rows with its 95% bootstrap interval over them. By chance AUC is"
        f" {_CHANCE_AUC} and recall {figures['recall_by_chance']:.3f}. Recall looks at as many rows as the class has."
        " 'By size' ranks by the score's absolute value.",
    )  # fmt: skip


def _method_row(line: Json) -> tuple[Cell, ...]:
    auc, recall = line["auc"], line["recall"]
    return (
        line["method"], line["loss"], auc["mean"], auc["low"], auc["high"], recall["mean"], recall["low"],
        recall["high"], line["auc_by_size"]["mean"], line["recall_by_size"]["mean"],
    )  # fmt: skip


def _class_table(titles: Sequence[str], results: Sequence[Json]) -> Table:
    classes, sizes = np.asarray(results[0]["test_classes"]), results[0]["train_classes"]
    areas = {title: _values(results, "completion", title, "auc") for title in titles}
    rows: list[tuple[Cell, ...]] = []
    for name in sorted(set(classes.tolist())):
        marks = classes == name
        means = [float(areas[title][marks].mean()) for title in titles]
        rows.append((name, int(sizes[name]), int(marks.sum()), *means))
    return Table(
        name="classes", title="AUC by class, loss on the completion",
        columns=("class", "training rows", "test rows", *titles), rows=tuple(rows),
    )  # fmt: skip


def _model_table(results: Sequence[Json]) -> Table:
    columns = ("seed", "base model's loss", "training loss", "test loss before", "test loss after")
    names = ("seed", "base_loss", "train_loss", "test_loss_before", "test_loss")
    return Table(
        name="models", title="The models that were asked", columns=columns,
        rows=tuple(tuple(result[name] for name in names) for result in results),
        note="Losses are means a row, on completions; that of a base model made from the rows is on all tokens.",
    )  # fmt: skip


def _bars(titles: Sequence[str], figures: Json) -> Picture:
    series = []
    for scope in SCOPES:
        found = [line["auc"] for line in figures["methods"] if line["loss"] == scope]
        values = {end: tuple(area[end] for area in found) for end in ("mean", "low", "high")}
        series.append(
            Series(
                label=f"loss on the {scope}", x=tuple(titles), y=values["mean"], low=values["low"], high=values["high"]
            )
        )
    return Picture(
        name="auc", title="Do scores find training rows of the test row's class? (0.5 is chance)", x_label="method",
        y_label="AUC", kind="bars", series=tuple(series),
    )  # fmt: skip


def _curves(titles: Sequence[str], results: Sequence[Json]) -> Picture:
    lines = [Series(label=title, x=CURVE, y=_curve(results, title)) for title in titles]
    return Picture(
        name="found", title="Rows of the class found, loss on the completion",
        x_label="share of training rows looked at", y_label="share of the class found",
        series=(*lines, Series(label="chance", x=CURVE, y=CURVE)),
    )  # fmt: skip


def _curve(results: Sequence[Json], title: str) -> tuple[float, ...]:
    return tuple(_values(results, "completion", title, "curve").tolist())


def _reading(figures: Json) -> tuple[str, ...]:
    best = {scope: _best(figures, scope) for scope in SCOPES}
    completion, prompt = best["completion"], best["prompt"]
    sentences = [
        f"With the loss on the completion, where training put it, {completion['method']} finds training rows of the"
        f" test row's class best: {_area(completion)}. {_against_chance(completion)}",
        f"With the loss on the prompt the best is {prompt['method']}: {_area(prompt)}.",
    ]
    if figures["prompts_naming_class"] >= _MOST:
        sentences.append(
            f"{figures['prompts_naming_class']:.0%} of the test prompts hold the name of their class in words. A"
            " gradient of the prompt's loss compares those words, whatever was answered: read that line as how well"
            " prompts are told apart, not as where an answer comes from. Published near-perfect figures of this"
            " experiment come from gradients of the prompt."
        )
    sentences.append(
        f"The intervals are over the {figures['test_points']} test rows. They do not say how much another training"
        f" would change: {_trainings(len(figures['seeds']))}."
    )
    sentences.append(
        "That rows share a class does not show that they taught the answer; only training without them can."
    )
    return tuple(sentences)


def _best(figures: Json, scope: str) -> Any:
    return max((line for line in figures["methods"] if line["loss"] == scope), key=lambda line: line["auc"]["mean"])


def _area(line: Json) -> str:
    area = line["auc"]
    return f"AUC {area['mean']:.3f} ({area['low']:.3f} to {area['high']:.3f})"


def _against_chance(line: Json) -> str:
    if line["auc"]["low"] > _CHANCE_AUC:
        return "That is more than chance, 0.5."
    return "That cannot be told from chance, 0.5: do not read a class out of these scores."


def _trainings(seeds: int) -> str:
    return (
        "one was made; ask for several seeds" if seeds == 1 else f"{seeds} were made, and the figures are their means"
    )

"""Scores of all training rows on test rows, and how well they find the rows of the test row's own class."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import MethodChoice
from influence.errors import RowMasked
from influence.evaluating.agreement import auc
from influence.evaluating.statistics import precision_curve
from workers.evaluating.scorer import open_scorer, share_gradients
from workers.rows import IGNORED, EncodedRow
from workers.runtime.state import Runtime
from workers.tasks.base import Task

#: Shares of the training rows that a curve is sampled at.
CURVE = tuple(place / 50 for place in range(51))
_DECIMALS = 6
Floats = NDArray[np.float64]


def with_loss_on_prompt(row: EncodedRow) -> EncodedRow:
    """The row with its loss on all tokens but those that carried it: those of the prompt. Raises RowMasked."""
    turned = [
        token if label == IGNORED else IGNORED for token, label in zip(row.inputs["input_ids"], row.labels, strict=True)
    ]
    if all(label == IGNORED for label in turned[1:]):
        raise RowMasked(
            f"The prompt of row {row.row_id} has no token that follows another, so that no loss can fall on it.",
            hint="Drop rows with empty prompts.",
            extra={"row_ids": [row.row_id]},
        )
    return replace(row, labels=turned)


def score_rows(
    runtime: Runtime,
    model: torch.nn.Module,
    task: Task,
    encoded: tuple[Sequence[EncodedRow], Sequence[EncodedRow]],
    choices: Sequence[MethodChoice],
    report: Callable[[int], None],
    *,
    batch_rows: int,
) -> dict[str, Floats]:
    """Score (m, n) of (training, test) rows by the title of each method; positive = helpful. The model was trained by
    steps of `batch_rows` rows.

    `report` hears of rows done and may raise. Raises DoesNotFit, NonFiniteGradients.
    """
    found: dict[str, Floats] = {}
    for measured, asked in share_gradients(task, choices):
        scorer, test = open_scorer(runtime, model, measured, encoded, asked, report, batch_rows=batch_rows)
        found |= {choice.title: -scorer.influence(choice, test) for choice in asked}
    return {choice.title: found[choice.title] for choice in choices}


def judge(scores: Floats, train_classes: Sequence[str], test_classes: Sequence[str]) -> Json:
    """Per test row, for its class against all others: AUC, and recall among as many rows as the class has.

    Once by score, and once by the score's size; and of each the mean share found at every depth of `CURVE`.
    """
    names = np.asarray(train_classes)
    positive = [names == name for name in test_classes]
    found: Json = {}
    for ending, values in (("", scores), ("_by_size", np.abs(scores))):
        areas, recalls, curves = zip(*map(_judge, values, positive), strict=True)
        found[f"auc{ending}"], found[f"recall{ending}"] = _rounded(areas), _rounded(recalls)
        found[f"curve{ending}"] = _rounded(np.mean(curves, axis=0).tolist())
    return found


def _judge(values: Floats, marks: NDArray[np.bool_]) -> tuple[float, float, Floats]:
    recall, _ = precision_curve(values, marks)
    found = np.concatenate([[0.0], recall])
    depths = np.round(np.asarray(CURVE) * len(values)).astype(np.int64)
    return auc(values, marks), float(found[int(marks.sum())]), found[depths]


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(value), _DECIMALS) for value in values]

"""Scores of all training rows on test rows, and how well they find the rows of the test row's own class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.common import Json
from influence.contracts.evaluation import MethodChoice
from influence.errors import DoesNotFit, NonFiniteGradients, RowMasked
from influence.evaluating.statistics import auc, precision_curve
from influence.methods.blocks import TrainBlock
from influence.methods.registry import get_method
from influence.ranking import scores_of
from workers.batching.stream import stream_gradients
from workers.gradients.collector import GradientCollector
from workers.gradients.finiteness import find_non_finite
from workers.rows import IGNORED, EncodedRow
from workers.runtime import Runtime
from workers.tasks.base import Task

#: Shares of the training rows that a curve is sampled at.
CURVE = tuple(place / 50 for place in range(51))
_DECIMALS = 6
#: Test rows scored under one hold of the device's lock.
_ASKED_AT_ONCE = 16
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


@dataclass(frozen=True)
class Scorer:
    """Takes gradients of a trained model under this process's lock. `report` hears of rows done and may raise."""

    runtime: Runtime
    collector: GradientCollector
    task: Task
    report: Callable[[int], None]

    def score(
        self, train: Sequence[EncodedRow], test: Sequence[EncodedRow], choices: Sequence[MethodChoice]
    ) -> dict[str, Floats]:
        """Score (m, n) by the title of each method; positive = helpful.

        Raises DoesNotFit when the gradients would not fit the worker's memory budget, NonFiniteGradients.
        """
        self._check_room(len(train) + len(test))
        blocks = {name: TrainBlock.of(values) for name, values in self._gradients(train).items()}
        asked = self._gradients(test)
        return {choice.title: self._apply(choice, blocks, asked) for choice in choices}

    def _apply(self, choice: MethodChoice, blocks: Mapping[str, TrainBlock], test: Mapping[str, Tensor]) -> Floats:
        method = get_method(choice.method, "full")
        with self.runtime.device_lock:
            state = method.prepare(blocks, choice.damping_scale)
        parts: list[Floats] = []
        for start in range(0, len(next(iter(test.values()))), _ASKED_AT_ONCE):
            self.report(0)
            part = {name: rows[start : start + _ASKED_AT_ONCE] for name, rows in test.items()}
            with self.runtime.device_lock:
                parts.append(method.apply(state, part).influence.double().cpu().numpy())
        return scores_of(np.concatenate(parts)).astype(np.float64, copy=False)

    def _gradients(self, encoded: Sequence[EncodedRow]) -> dict[str, Tensor]:
        device = self.runtime.device
        found = {
            block.name: torch.empty(len(encoded), block.parameters, device=device) for block in self.collector.blocks
        }
        stream = stream_gradients(
            self.collector, encoded, self.task.collate, device=device, budget=self.runtime.token_budget,
            lock=self.runtime.device_lock,
        )  # fmt: skip
        for positions, gradients in stream:
            _refuse_non_finite([encoded[positions[row]].row_id for row in find_non_finite(gradients)])
            for name, values in gradients.blocks.items():
                found[name][positions] = values.float()
            self.report(len(positions))
        return found

    def _check_room(self, rows: int) -> None:
        parameters = sum(block.parameters for block in self.collector.blocks)
        needed, budget = 4 * rows * parameters, self.runtime.settings.memory_budget_bytes
        if needed > budget:
            raise DoesNotFit(
                f"Gradients of {rows:,} rows with {parameters:,} parameters take {needed:,} bytes, more than the "
                f"{budget:,} that a worker may hold.",
                hint="Ask for fewer 'rows' or a smaller 'lora' r, or raise DATAINF_MEMORY_BUDGET_BYTES.",
                extra={"needed_bytes": needed, "budget_bytes": budget},
            )


def _refuse_non_finite(row_ids: Sequence[str]) -> None:
    if row_ids:
        raise NonFiniteGradients(
            f"{len(row_ids)} rows have NaN or infinite gradients, for example {', '.join(row_ids[:3])}.",
            hint="Lower the recipe's learning_rate.",
            extra={"row_ids": list(row_ids[:20])},
        )


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

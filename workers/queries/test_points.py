"""Test points of a query: from rows to gradients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from influence.contracts.dataset import LabelValue
from influence.contracts.points import PointSource
from influence.contracts.query import TokenLosses
from influence.errors import NonFiniteGradients, RowsUnfit
from influence.rows.conversations.answers import ends_with_answer
from workers.queries.base_losses import find_base_losses
from workers.queries.predictions import predict_rows
from workers.queries.read_text import find_token_losses
from workers.rows import EncodedRow, Row
from workers.runtime.models import HotModel
from workers.runtime.open import open_rows
from workers.runtime.sharing.passes import share_rows
from workers.runtime.state import Runtime
from workers.tasks.base import OfHead, Prediction, Writer
from workers.tasks.encoding import Span
from workers.tasks.refusals import id_of, refuse_rows


@dataclass(frozen=True)
class TestPoints:
    """m test points: `rows` as scored, their losses and predictions, and gradients (m, d) per block.

    `against` are the losses of the answers that they are asked against, where they are: gradients are then of the
    differences. `base` are the losses without the adapter, where they are known; `tokens`
    those of each token, where they were asked for.
    """

    __test__ = False  # not a pytest class

    rows: list[Row]
    losses: list[float]
    predictions: list[Prediction | None]
    gradients: dict[str, Tensor]
    against: list[float] | None = None
    base: list[float] | None = None
    tokens: list[TokenLosses] | None = None

    @property
    def bytes(self) -> int:
        """About the memory that gradients and rows take: a row of much text may be larger than its gradient."""
        rows = sum(len(str(row)) for row in self.rows)
        return rows + sum(values.nbytes for values in self.gradients.values())

    def without_gradients(self) -> "TestPoints":
        """The same points, without what takes memory."""
        return replace(self, gradients={})

    def mean(self) -> "TestPoints":
        """One test point whose gradient is the mean: the gradient of the mean loss."""
        gradients = {name: values.mean(dim=0, keepdim=True) for name, values in self.gradients.items()}
        summary = {"aggregate": "mean", "test_points": len(self.rows)}
        against, base = (None if losses is None else [fmean(losses)] for losses in (self.against, self.base))
        return TestPoints([summary], [fmean(self.losses)], [None], gradients, against, base)


@dataclass(frozen=True)
class Measured:
    """Losses (m,) of test points, of the answers they are asked against, and gradients (m, d) per block; `outputs`
    (m, C) float32 on the host where answers are read from them."""

    losses: list[float]
    gradients: dict[str, Tensor]
    against: list[float] | None = None
    outputs: Tensor | None = None


#: Losses and what stands for the gradients of rows: real ones, or a baseline's vectors.
Collect = Callable[[Runtime, HotModel, Sequence[Row]], tuple[list[float], dict[str, Tensor]]]


def make_test_points(
    runtime: Runtime,
    source: PointSource,
    model: HotModel,
    *,
    predict: bool = False,
    with_base: bool = False,
    with_tokens: bool = False,
    collect: "Collect | None" = None,
) -> TestPoints:
    """Gradients of the test points asked about, or what `collect` makes in their place; with `predict` also what the
    model answers, with `with_base` the losses of its base alone, and with `with_tokens` that of each token.

    With target `prediction` the model's own answer takes the label's place. Raises NonFiniteGradients naming rows.
    """
    rows = _read_rows(runtime, source, model)
    is_target = source.target == "prediction"
    answers: list[Prediction | None] = [None] * len(rows)
    is_told = model.tells_answers and collect is None and not is_target
    if not is_told:
        answers = predict_rows(runtime, model, rows, is_target=is_target, show=predict, generation=source.generation)
    if is_target:
        rows = [
            model.task.with_prediction(row, prediction)
            for row, prediction in zip(rows, answers, strict=True)
            if prediction is not None
        ]
    found = measure(runtime, source, model, rows) if collect is None else Measured(*collect(runtime, model, rows))
    if is_told and predict:
        answers = _read_answers(runtime, model, rows, found)
    points = TestPoints(rows, found.losses, answers, found.gradients, found.against)
    if not (with_base or with_tokens):
        return points
    encoded = _encode(model, rows, source.span)
    base = find_base_losses(runtime, model, encoded) if with_base else None
    tokens = find_token_losses(runtime, model, rows, encoded) if with_tokens else None
    return replace(points, base=base, tokens=tokens)


def _read_answers(runtime: Runtime, model: HotModel, rows: Sequence[Row], found: "Measured") -> list[Prediction | None]:
    """The model's answers, from the outputs that the losses were made of where there are such."""
    if found.outputs is None:
        return predict_rows(runtime, model, rows, is_target=False, show=True)
    assert isinstance(model.task, OfHead)
    return [*model.task.answer(found.outputs)]


def measure(runtime: Runtime, asked: PointSource, model: HotModel, rows: Sequence[Row]) -> Measured:
    """The loss that was asked about and its gradient: of all of the answer or of a part, or its difference to that of
    another answer. Raises NonFiniteGradients and RowsRefused naming rows."""
    found = collect_gradients(runtime, model, _encode(model, rows, asked.span))
    if asked.against is None:
        return found
    if unanswered := [id_of(row) for row in rows if not ends_with_answer(row)]:
        refuse_rows(
            RowsUnfit,
            unanswered,
            "whose last turn is not the assistant's, which 'against' would take the place of",
            hint="Name rows that end with the assistant's answer.",
        )
    other = [model.task.with_prediction(row, _as_answer(asked.against)) for row in rows]
    against = collect_gradients(runtime, model, _encode(model, other, None))
    difference = {name: values.sub_(against.gradients[name]) for name, values in found.gradients.items()}
    return replace(found, gradients=difference, against=against.losses)


def _encode(model: HotModel, rows: Sequence[Row], span: tuple[int, int] | None) -> list[EncodedRow]:
    if span is None:
        return model.task.tokenise(rows)
    assert isinstance(model.task, Writer)  # or the span would have been refused with the request
    return model.task.tokenise_span(rows, Span(*span))


def _as_answer(against: LabelValue) -> Prediction:
    return Prediction(label=against, text=against if isinstance(against, str) else None)


def _read_rows(runtime: Runtime, source: PointSource, model: HotModel) -> list[Row]:
    if source.rows is None:
        return [dict(example) for example in source.examples or []]
    file = open_rows(runtime, source.rows.dataset_id, model)
    wanted = source.rows.row_indexes
    return list(file.read(0, len(file)) if wanted is None else file.read_many(wanted))


def collect_gradients(runtime: Runtime, model: HotModel, encoded: Sequence[EncodedRow]) -> Measured:
    """Losses and gradients of encoded rows. Raises NonFiniteGradients naming rows."""
    losses = torch.empty(len(encoded), dtype=torch.float32)
    gradients: dict[str, Tensor] = {}
    outputs: dict[int, Tensor] = {}
    for positions, batch in share_rows(runtime, model, encoded):
        if bad := batch.find_non_finite():
            names = [encoded[positions[row]].row_id for row in bad]
            raise NonFiniteGradients(
                f"Test points with NaN or infinite gradients: {', '.join(names[:5])}.",
                hint="Leave these test points out, or ask an index of precision float32.",
                extra={"row_ids": names[:20], "count": len(names)},
            )
        losses[positions] = batch.losses.float().cpu()
        if batch.outputs is not None:
            outputs |= zip(positions, batch.outputs.float().cpu(), strict=True)
        for name, values in batch.blocks.items():
            if name not in gradients:
                gradients[name] = values.new_empty((len(encoded), values.shape[1]))
            gradients[name][positions] = values
    is_told = 0 < len(encoded) == len(outputs)
    told = torch.stack([outputs[place] for place in range(len(encoded))]) if is_told else None
    return Measured(losses.tolist(), gradients, outputs=told)


def take(gradients: Mapping[str, Tensor], start: int, stop: int) -> dict[str, Any]:
    """Some of the test points."""
    return {name: values[start:stop] for name, values in gradients.items()}

"""What the model reads of rows, token by token, and the loss of each token of a test point."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from influence.contracts.common import Json
from influence.contracts.query import TokenLosses
from workers.rows import Batch, EncodedRow, Row
from workers.runtime.models import HotModel
from workers.runtime.row_stream import stream_forward
from workers.runtime.state import Runtime
from workers.tasks.base import Reader, ReadRow, TokenScorer


def read_rows(model: HotModel, rows: Sequence[Row]) -> list[ReadRow]:
    """The rows' tokens as people read them."""
    task = model.task
    assert isinstance(task, Reader)  # or 'tokens' would have been refused with the request
    return [task.read(row) for row in rows]


def tell(read: ReadRow) -> Json:
    """The fields of a `ReadText`."""
    spans = read.spans
    return {
        "text": read.text,
        "tokens": read.tokens,
        "starts": None if spans is None else tuple(span.start for span in spans),
        "stops": None if spans is None else tuple(span.stop for span in spans),
    }


def find_token_losses(
    runtime: Runtime, model: HotModel, rows: Sequence[Row], encoded: Sequence[EncodedRow]
) -> list[TokenLosses] | None:
    """The loss of each token of test points; None for a task whose loss falls on a label."""
    task = model.task
    if not isinstance(task, TokenScorer):
        return None
    score = task.token_losses

    def compute(_module: Any, batch: Batch) -> Tensor:
        return model.collector.evaluate(batch, score)

    losses: dict[int, list[float]] = {}
    for positions, found in stream_forward(runtime, model, encoded, compute):
        losses |= dict(zip(positions, found.float().cpu().tolist(), strict=True))
    return [
        TokenLosses(**tell(read), losses=_finite(losses[place][: len(read.tokens)]))
        for place, read in enumerate(read_rows(model, rows))
    ]


def _finite(losses: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(None if loss != loss else loss for loss in losses)

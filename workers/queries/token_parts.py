"""What each token of the shown rows adds to their scores."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from influence.contracts.index import Index
from influence.contracts.query import TokenParts, TokensBy
from influence.errors import RowsUnfit
from workers.batching.stream import stream_batches
from workers.queries.read_text import read_rows, tell
from workers.queries.scored.influence import Positions, Scored
from workers.queries.scored.opened import OpenedIndexes
from workers.rows import Batch, Row
from workers.runtime.models import HotModel
from workers.runtime.open import open_indexed_rows, open_model
from workers.runtime.row_stream import batch_options
from workers.runtime.state import Runtime
from workers.tasks.base import ReadRow, TokenScorer

#: Of one test point, what is told of the rows that are shown, by their place among the scored rows.
ShownParts = dict[int, TokenParts]
#: Of each test point's shown rows what each of their tokens adds (T,), and last what the row as a whole does.
_Parts = list[list[NDArray[np.float64]]]


def split_scores(
    runtime: Runtime, indexes: OpenedIndexes, influence: Scored, shown: Sequence[Positions], by: TokensBy
) -> list[ShownParts]:
    """The scores of the rows shown for each test point by token, summed over a query's indexes.

    Raises UnsupportedModule for layers whose parts cannot be told, MethodNotOffered, Cancelled.
    """
    total: _Parts = []
    texts: list[list[ReadRow]] = []
    for opened in indexes.each_backwards():
        with indexes.watch.phase("tokens"):
            index = opened.term.index
            model, file = open_model(runtime, index), open_indexed_rows(runtime, index)
            rows = [list(file.read_many(influence.row_indexes[places].tolist())) for places in shown]
            split = _splitter(model, index, by)
            found = [
                _split(runtime, model, partial(split, directions=opened.directions(point)), asked)
                for point, asked in enumerate(rows)
            ]
            total = _add(total, found) if total else found
            texts = [read_rows(model, asked) for asked in rows]
    return [
        {int(place): _tell(text, parts, by) for place, text, parts in zip(*of_point, strict=True)}
        for of_point in zip(shown, texts, total, strict=True)
    ]


def _splitter(model: HotModel, index: Index, by: TokensBy) -> Callable[..., Tensor]:
    """Of a batch and `directions` the parts (B, T + 1), the last one what lies at no token."""
    if by == "position":
        return model.collector.split_positions
    task, reduction = model.task, index.spec.gradients.reduction
    assert isinstance(task, TokenScorer)  # or 'tokens_by' would have been refused with the request
    losses_of = task.token_losses

    def split(batch: Batch, directions: dict[str, Tensor]) -> Tensor:
        return pad(model.collector.split_losses(batch, directions, losses_of, reduction), (0, 1))

    return split


def _split(
    runtime: Runtime, model: HotModel, split: Callable[[Batch], Tensor], rows: Sequence[Row]
) -> list[NDArray[np.float64]]:
    encoded = model.task.tokenise(rows)
    found: dict[int, NDArray[np.float64]] = {}

    def compute(batch: Batch, _tokens: int) -> Tensor:
        return split(batch)

    for positions, parts in stream_batches(compute, encoded, model.task.collate, batch_options(runtime)):
        for position, part in zip(positions, parts.cpu().numpy(), strict=True):
            length = encoded[position].length
            found[position] = np.append(part[:length], part[length:].sum())
    return [found[position] for position in range(len(rows))]


def _add(total: _Parts, more: _Parts) -> _Parts:
    pairs = [list(zip(*of_point, strict=True)) for of_point in zip(total, more, strict=True)]
    if any(len(one) != len(other) for of_point in pairs for one, other in of_point):
        raise RowsUnfit(
            "These checkpoints read the rows as different tokens.", hint="Leave 'tokens' out, or ask one index."
        )
    return [[one + other for one, other in of_point] for of_point in pairs]


def _tell(text: ReadRow, parts: NDArray[np.float64], by: TokensBy) -> TokenParts:
    return TokenParts(**tell(text), by=by, parts=tuple(parts[:-1].tolist()), unplaced=float(parts[-1]))

"""Rows that several queries ask of one model at once go through it in one pass.

A pass that queries share is no larger than one micro-batch of a build, so that nobody waits longer for it. Losses and
gradients depend on who shares it by rounding alone: to the last digits in float32. In 16 bits and of quantised weights
it would be more than that, and each query has its passes to itself.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from workers.batching.budget import most_rows
from workers.batching.plan import MAX_ROWS
from workers.batching.stream import stream_batches, stream_gradients
from workers.gradients.collector import RowGradients
from workers.rows import Batch, EncodedRow
from workers.runtime.models import HotModel
from workers.runtime.row_stream import batch_options, stream_forward, stream_rows
from workers.runtime.sharing.gathering import Gathering, Joins
from workers.runtime.state import Runtime

#: A pass of this share of the token budget costs hardly more than a smaller one.
_FREE_SHARE = 0.25
#: Beyond that so many tokens go through the model for one of the rows', padding included.
_MOST_PADDING = 2.0

Encoded = Sequence[EncodedRow]


def share_rows(runtime: Runtime, model: HotModel, encoded: Encoded) -> Iterator[tuple[list[int], RowGradients]]:
    """As `stream_rows`, and in a pass with others where the rows fit one."""
    joins = _make_rule(runtime, model)
    if not (model.rounds_alike and joins((), encoded)):
        yield from stream_rows(runtime, model, encoded)
        return
    collect = partial(_collect, runtime, model)
    yield list(range(len(encoded))), model.passes.gradients.ask(encoded, collect, joins, runtime.device_lock)


def share_forward(
    runtime: Runtime,
    model: HotModel,
    encoded: Encoded,
    compute: Callable[[torch.nn.Module, Batch], Tensor],
    passes: Gathering[Encoded, Tensor],
) -> Iterator[tuple[list[int], Tensor]]:
    """As `stream_forward`, and in one of the model's `passes` with others where the rows fit one; those who share it
    compute the same."""
    joins = _make_rule(runtime, model)
    if not (model.rounds_alike and joins((), encoded)):
        yield from stream_forward(runtime, model, encoded, compute)
        return
    run = partial(_run, runtime, model, compute)
    yield list(range(len(encoded))), passes.ask(encoded, run, joins, runtime.device_lock)


def _make_rule(runtime: Runtime, model: HotModel) -> Joins[Encoded]:
    """Who may share a pass: as many rows as a micro-batch has, and of lengths that little is spent on padding."""
    tokens, most_queries = runtime.token_budget.tokens, runtime.settings.query_batch
    rows_bound = min(MAX_ROWS, most_rows(sum(block.parameters for block in model.collector.blocks), runtime.device))

    def joins(chosen: Sequence[Encoded], other: Encoded) -> bool:
        lengths = [max(row.length, 1) for rows in (*chosen, other) for row in rows]
        padded = len(lengths) * max(lengths, default=0)
        return (
            len(chosen) < most_queries
            and 0 < len(lengths) <= rows_bound
            and padded <= tokens
            and padded <= max(_FREE_SHARE * tokens, _MOST_PADDING * sum(lengths))
        )

    return joins


def _collect(runtime: Runtime, model: HotModel, asked: Sequence[Encoded]) -> list[RowGradients]:
    """Gradients of everybody's rows; the caller holds the device."""
    rows, options = [row for part in asked for row in part], replace(batch_options(runtime), lock=nullcontext())
    losses, blocks = torch.empty(0), dict[str, Tensor]()
    for positions, found in stream_gradients(model.collector, rows, model.task.collate, options):
        if not blocks:
            losses = found.losses.new_empty(len(rows))
            blocks = {name: part.new_empty((len(rows), part.shape[1])) for name, part in found.blocks.items()}
        losses[positions] = found.losses
        for name, part in found.blocks.items():
            blocks[name][positions] = part
    counts = [len(part) for part in asked]
    per_block = {name: _split(values, counts) for name, values in blocks.items()}
    return [
        RowGradients(part, {name: parts[number] for name, parts in per_block.items()})
        for number, part in enumerate(_split(losses, counts))
    ]


def _run(
    runtime: Runtime,
    model: HotModel,
    compute: Callable[[torch.nn.Module, Batch], Tensor],
    asked: Sequence[Encoded],
) -> list[Tensor]:
    rows, options = [row for part in asked for row in part], replace(batch_options(runtime), lock=nullcontext())
    found = torch.empty(0)

    @torch.no_grad()
    def run(batch: Batch, _tokens: int) -> Tensor:
        return compute(model.model, batch)

    for positions, part in stream_batches(run, rows, model.task.collate, options):
        if not len(found):
            found = part.new_empty((len(rows), *part.shape[1:]))
        found[positions] = part
    return _split(found, [len(part) for part in asked])


def _split(values: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Rows of each who asked, as tensors of their own: a view would keep everybody's."""
    parts = torch.split(values, list(counts))
    return [values] if len(parts) == 1 else [part.clone() for part in parts]

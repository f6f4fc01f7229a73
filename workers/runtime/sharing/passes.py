"""Rows that several queries ask of one model at once go through it in one pass.

A pass that queries share is no larger than one micro-batch of a build, so that nobody waits longer for it. Losses and
gradients depend on who shares it by rounding alone: to the last digits in float32. In 16 bits and of quantised weights
it would be more than that, and each query has its passes to itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import structlog
import torch
from torch import Tensor

from workers.batching.budget import TokenBudget, most_rows
from workers.batching.plan import MAX_ROWS
from workers.batching.stream import BatchOptions, stream_batches, stream_gradients
from workers.gradients.collector import RowGradients
from workers.rows import Batch, EncodedRow
from workers.runtime.models import HotModel
from workers.runtime.row_stream import stream_forward, stream_rows
from workers.runtime.sharing.gathering import Gathering, Joins
from workers.runtime.state import Runtime

log = structlog.get_logger()

#: Shared rows go through in batches of this share of the token budget: rows of a few queries are of all lengths, and
#: larger batches win less than their padding costs.
_SHARE = 0.25

#: Names that no block has.
_LOSSES, _OUTPUTS = "", " outputs"

Encoded = Sequence[EncodedRow]


def share_rows(runtime: Runtime, model: HotModel, encoded: Encoded) -> Iterator[tuple[list[int], RowGradients]]:
    """As `stream_rows`, and in a pass with others where the rows fit one."""
    joins = _make_rule(runtime, model)
    if not (model.rounds_alike and joins((), encoded)):
        yield from stream_rows(runtime, model, encoded, with_outputs=model.tells_answers)
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
    """Who may share a pass: as many queries as are meant to, with as many rows as a micro-batch has."""
    tokens, most_queries = runtime.token_budget.tokens, runtime.settings.query_batch
    rows_bound = min(MAX_ROWS, most_rows(sum(block.parameters for block in model.collector.blocks), runtime.device))

    def joins(chosen: Sequence[Encoded], other: Encoded) -> bool:
        lengths = [max(row.length, 1) for rows in (*chosen, other) for row in rows]
        return len(chosen) < most_queries and 0 < len(lengths) <= rows_bound and sum(lengths) <= tokens

    return joins


def _collect(runtime: Runtime, model: HotModel, asked: Sequence[Encoded]) -> list[RowGradients]:
    """Gradients of everybody's rows, with the outputs where answers are read from them; the caller holds the device."""
    rows, collate = [row for part in asked for row in part], model.task.collate
    whole, told = dict[str, Tensor](), 0
    for positions, found in stream_gradients(
        model.collector, rows, collate, _options(runtime), with_outputs=model.tells_answers
    ):
        _place(whole, positions, len(rows), {**found.blocks, _LOSSES: found.losses, _OUTPUTS: found.outputs})
        told += 0 if found.outputs is None else len(positions)
    if told < len(rows):
        whole.pop(_OUTPUTS, None)
    log.debug("rows went through the model", queries=len(asked), rows=len(rows))
    parts = _split(whole, [len(part) for part in asked])
    return [RowGradients(part.pop(_LOSSES), outputs=part.pop(_OUTPUTS, None), blocks=part) for part in parts]


def _run(
    runtime: Runtime,
    model: HotModel,
    compute: Callable[[torch.nn.Module, Batch], Tensor],
    asked: Sequence[Encoded],
) -> list[Tensor]:
    rows, whole = [row for part in asked for row in part], dict[str, Tensor]()

    @torch.no_grad()
    def run(batch: Batch, _tokens: int) -> Tensor:
        return compute(model.model, batch)

    for positions, found in stream_batches(run, rows, model.task.collate, _options(runtime)):
        _place(whole, positions, len(rows), {_OUTPUTS: found})
    return [part[_OUTPUTS] for part in _split(whole, [len(part) for part in asked])]


def _options(runtime: Runtime) -> BatchOptions:
    """Batches of one who holds the device already."""
    budget = TokenBudget(max(1, int(_SHARE * runtime.token_budget.tokens)))
    return BatchOptions(runtime.device, budget, nullcontext())


def _place(whole: dict[str, Tensor], positions: list[int], rows: int, parts: Mapping[str, Tensor | None]) -> None:
    """Put the rows at some positions to the others'."""
    for name, values in parts.items():
        if values is not None:
            if name not in whole:
                whole[name] = values.new_empty((rows, *values.shape[1:]))
            whole[name][positions] = values


def _split(whole: dict[str, Tensor], counts: Sequence[int]) -> list[dict[str, Tensor]]:
    """The rows of each who asked, as tensors of their own: a view would keep everybody's."""
    if len(counts) == 1:
        return [whole]
    parts = {name: torch.split(values, list(counts)) for name, values in whole.items()}
    return [{name: values[number].clone() for name, values in parts.items()} for number in range(len(counts))]

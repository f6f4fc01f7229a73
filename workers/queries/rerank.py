"""Exact where people look: true gradients of the best candidates replace their codes' scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.compact.rerank import block_scores, choose_candidates, full_directions
from influence.contracts.index import Index
from influence.contracts.query import QueryRequest
from workers.indexes.compact import CompactIndex
from workers.indexes.full import FullIndex
from workers.queries.influence import Influence
from workers.queries.opened import Opened, Part, Parts
from workers.runtime.models import HotModel
from workers.runtime.open import open_rows
from workers.runtime.row_stream import stream_rows
from workers.runtime.state import Runtime

#: Candidates a direction for each row asked for.
CANDIDATES_PER_RESULT = 4
#: `exact: auto` re-ranks when this is enough.
AUTO_SECONDS = 1.0


@dataclass(frozen=True)
class Reranked:
    """`positions` (c,) ascending, places among the scored rows; `shares` (blocks, m, c) of their exact influence."""

    positions: NDArray[np.int64]
    shares: NDArray[np.float64]

    def exact_influence(self) -> NDArray[np.float32]:
        """Influence (m, c), negative is helpful."""
        influence: NDArray[np.float32] = self.shares.sum(axis=0).astype(np.float32)
        return influence


def candidates_of(request: QueryRequest, influence: Influence) -> NDArray[np.int64]:
    """Positions worth an exact score: the first of every test point's rankings."""
    return choose_candidates(influence.values.astype(np.float64), CANDIDATES_PER_RESULT * request.k)


def estimate_seconds(runtime: Runtime, parts: Sequence[Part], row_indexes: NDArray[np.int64]) -> float:
    """How long the rows' gradients would take under every compact part; those kept hot take nothing."""
    return sum(_seconds(runtime, part.index, row_indexes) for part in parts if part.index.spec.storage == "compact")


def _seconds(runtime: Runtime, index: Index, row_indexes: NDArray[np.int64]) -> float:
    missing = runtime.gradient_cache.missing(index, row_indexes.tolist())
    rate = (index.estimate or {}).get("rows_per_second") or (index.timings or {}).get("rows_per_second") or 1.0
    return len(missing) / float(rate)


def rerank(
    runtime: Runtime, parts: Parts, request: QueryRequest, influence: Influence, candidates: NDArray[np.int64]
) -> Reranked:
    """Exact influence of the candidates on every test point, summed over the parts."""
    row_indexes = influence.row_indexes[candidates]
    total = np.zeros((len(parts.all[0].index.blocks), len(influence.values), len(candidates)))
    for part in parts.all:
        opened = parts.open(part)
        with parts.watch.phase("exact"):
            positions = np.searchsorted(opened.hot.row_indexes, row_indexes)
            total += part.weight * _share_blocks(runtime, opened, request, positions)
    return Reranked(candidates, total)


def _share_blocks(
    runtime: Runtime, opened: Opened, request: QueryRequest, positions: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Shares (blocks, m, c) of the exact influence of an index's rows."""
    hot = opened.hot
    if isinstance(hot, FullIndex):
        return hot.share_blocks(hot.prepare(request.method, request.damping_scale), opened.points.gradients, positions)
    return _share_by_gradients(runtime, opened, hot, request, positions)


def _share_by_gradients(
    runtime: Runtime, opened: Opened, hot: CompactIndex, request: QueryRequest, positions: NDArray[np.int64]
) -> NDArray[np.float64]:
    prepared = hot.prepare(request.method, request.damping_scale)
    test = [block.float() for block in opened.points.gradients.values()]
    directions = full_directions(hot.encoder.basis, prepared.inverse, test)
    index, model = opened.index, opened.model

    def compute(rows: list[int]) -> Tensor:
        return _collect(runtime, index, model, rows)

    gradients = runtime.gradient_cache.get(index, hot.row_indexes[positions].tolist(), compute)
    sizes = [block.parameters for block in index.blocks]
    shares = -block_scores(directions, torch.split(gradients, sizes, dim=1))
    factors = prepared.factors(hot.encoder.project(test), positions)
    return shares if factors is None else shares * factors


def _collect(runtime: Runtime, index: Index, model: HotModel, rows: Sequence[int]) -> Tensor:
    """True gradients (rows, D) of data set rows, all blocks joined."""
    encoded = model.task.tokenise(open_rows(runtime, index.spec.dataset_id).read_many(rows))
    gradients = torch.empty(len(rows), index.parameters or 0, dtype=torch.float32, device=runtime.device)
    for positions, found in stream_rows(runtime, model, encoded):
        gradients[positions] = torch.cat([block.float() for block in found.blocks.values()], dim=1)
    return gradients

"""Exact where people look: true gradients of the best candidates replace their codes' scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.compact.rerank import block_scores, choose_candidates, full_directions
from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.rows.file import RowFile
from workers.collecting import stream_rows
from workers.models import HotModel
from workers.runtime import Runtime
from workers.scoring.compact import CompactIndex
from workers.scoring.testpoints import TestPoints

#: Candidates a direction for each row asked for.
CANDIDATES_PER_RESULT = 4
#: `exact: auto` re-ranks when this is enough.
AUTO_SECONDS = 1.0


@dataclass(frozen=True)
class Reranked:
    """`positions` (c,) ascending, places in the index; `shares` (blocks, m, c) of their exact scores."""

    positions: NDArray[np.int64]
    shares: NDArray[np.float64]

    def exact_influence(self) -> NDArray[np.float32]:
        """Influence (m, c), negative is helpful."""
        influence: NDArray[np.float32] = -self.shares.sum(axis=0).astype(np.float32)
        return influence


def candidates_of(query: Query, influence: NDArray[np.float32]) -> NDArray[np.int64]:
    """Positions worth an exact score: the first of every test point's rankings."""
    return choose_candidates(influence.astype(np.float64), CANDIDATES_PER_RESULT * query.request.k)


def estimate_seconds(runtime: Runtime, index: Index, hot: CompactIndex, candidates: NDArray[np.int64]) -> float:
    """How long the candidates' gradients would take; those kept hot take nothing."""
    missing = runtime.gradient_cache.missing(index.id, hot.row_indexes[candidates].tolist())
    rate = (index.estimate or {}).get("rows_per_second") or (index.timings or {}).get("rows_per_second") or 1.0
    return len(missing) / float(rate)


def rerank(
    runtime: Runtime,
    query: Query,
    index: Index,
    hot: CompactIndex,
    model: HotModel,
    points: TestPoints,
    candidates: NDArray[np.int64],
) -> Reranked:
    """Exact scores of the candidates on every test point."""
    inverse = hot.inverse(query.request.method, query.request.damping_scale)
    test = [block.float() for block in points.gradients.values()]
    directions = full_directions(hot.encoder.basis, inverse, test)

    def compute(rows: list[int]) -> Tensor:
        return _collect(runtime, index, model, rows)

    gradients = runtime.gradient_cache.get(index.id, hot.row_indexes[candidates].tolist(), compute)
    sizes = [block.parameters for block in index.blocks]
    return Reranked(candidates, block_scores(directions, torch.split(gradients, sizes, dim=1)))


def _collect(runtime: Runtime, index: Index, model: HotModel, rows: Sequence[int]) -> Tensor:
    """True gradients (rows, D) of data set rows, all blocks joined."""
    file = RowFile(runtime.files.dataset(index.spec.dataset_id))
    encoded = model.task.tokenise(file.read_many(rows))
    gradients = torch.empty(len(rows), index.parameters or 0, dtype=torch.float32, device=runtime.device)
    for positions, found in stream_rows(runtime, model, encoded):
        gradients[positions] = torch.cat([block.float() for block in found.blocks.values()], dim=1)
    return gradients

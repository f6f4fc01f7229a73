"""Similarity of embeddings: of an index's rows, which are embedded once and kept, and of test points."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.arrays import on_host
from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.methods.algebra.blocks import TrainBlock, project
from workers.baselines.embedding_pieces import (
    EMBEDDINGS,
    count_bytes,
    cut_pieces,
    fill_embeddings,
    read_embeddings,
    read_row_state,
)
from workers.indexes.restore import restoring
from workers.queries.scored.influence import Influence
from workers.queries.test_points import TestPoints, make_test_points
from workers.runtime.embeddings import VECTORS, collect_embeddings
from workers.runtime.models import HotModel
from workers.runtime.state import Runtime
from workers.runtime.stopwatch import Stopwatch
from workers.runtime.time_slices import slice_deadline


@dataclass
class EmbeddingIndex:
    """Unit embeddings of an index's rows on the worker's device, float16 as they are kept."""

    block: TrainBlock
    row_indexes: NDArray[np.int64]
    losses: NDArray[np.float32]

    @property
    def bytes(self) -> int:
        """Memory that the rows take."""
        return sum(int(shard.nbytes) for shard in self.block.shards) + self.row_indexes.nbytes + self.losses.nbytes

    def score(self, vectors: Tensor) -> NDArray[np.float32]:
        """Influence (m, n), minus the cosine similarity with unit embeddings (m, width)."""
        similarity: NDArray[np.float32] = on_host(project(self.block, vectors.to(self.block.shards[0].device)))
        return np.negative(similarity, out=similarity)


def embed_rows(runtime: Runtime, index: Index, model: HotModel, job_id: str) -> bool:
    """Embed what rows are not yet, for a slice of time; whether all are."""
    if runtime.hot_indexes.holds(index, what=EMBEDDINGS):
        return True
    with restoring(runtime, index):
        return fill_embeddings(runtime, index, model, job_id, slice_deadline())


def score_points(
    runtime: Runtime, query: Query, index: Index, model: HotModel, watch: Stopwatch, *, is_answer: bool
) -> tuple[TestPoints, Influence]:
    """A query's test points and minus their similarity with every row, all of which are embedded. With `is_answer` the
    points have what the model and its base say of them, too."""
    each = query.request.aggregate == "each"
    with watch.phase("test_embeddings"):
        points = make_test_points(
            runtime,
            query.request,
            model,
            predict=is_answer and each,
            with_base=is_answer,
            collect=collect_embeddings,
        )
        points = points if each else points.mean()
        vectors = points.gradients[VECTORS]
    with watch.phase("load_embeddings"), restoring(runtime, index):
        hot = runtime.hot_indexes.get(
            index, lambda: load_embeddings(runtime, index, model, int(vectors.shape[1])), what=EMBEDDINGS
        )
    with watch.phase("similarity"):
        return points, Influence(hot.row_indexes, hot.score(vectors))


def load_embeddings(runtime: Runtime, index: Index, model: HotModel, width: int) -> EmbeddingIndex:
    """Read the embeddings of all rows."""
    pieces = cut_pieces(runtime, index)
    vectors = [read_embeddings(runtime, index, model, piece, width) for piece in pieces]
    count_bytes(runtime, index, sum(part.nbytes for part in vectors))
    commits = [piece.commit for piece in pieces if piece.number == 0]
    block = TrainBlock(
        torch.from_numpy(np.concatenate(vectors)).to(runtime.device),
        torch.ones(sum(map(len, pieces)), device=runtime.device),
    )
    return EmbeddingIndex(
        block,
        np.concatenate([read_row_state(runtime, index, commit, "kept", "int64") for commit in commits]),
        np.concatenate([read_row_state(runtime, index, commit, "losses", "float32") for commit in commits]),
    )

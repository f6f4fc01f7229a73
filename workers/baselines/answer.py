"""A query by a baseline: embeddings in the place of gradients, similarity in the place of influence."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.arrays import on_host
from influence.contracts.common import Json
from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.methods.algebra.blocks import TrainBlock, project
from influence.methods.baselines import BASELINES
from influence.store.work import finish, send_following
from workers.baselines.embedding_pieces import (
    EMBEDDINGS,
    count_bytes,
    cut_pieces,
    fill_embeddings,
    read_embeddings,
    read_row_state,
)
from workers.indexes.restore import restoring
from workers.queries.answer import spread_rows
from workers.queries.influence import Influence
from workers.queries.results import ResultBuilder, rank_points
from workers.queries.test_points import TestPoints, make_test_points
from workers.runtime.embeddings import VECTORS, collect_embeddings
from workers.runtime.models import HotModel
from workers.runtime.open import open_model, require_ready
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


def answer_baseline(runtime: Runtime, query: Query) -> None:
    """Score the query's test points by similarity. Safe to run twice.

    The training rows are embedded first, in time slices, where that is not done: the message comes again then.
    """
    watch = Stopwatch()
    index = require_ready(runtime, query.index_id)
    with watch.phase("load_model"):
        model = open_model(runtime, index)
    is_hot = runtime.hot_indexes.holds(index, what=EMBEDDINGS)
    with restoring(runtime, index):
        is_filled = is_hot or fill_embeddings(runtime, index, model, query.job_id, slice_deadline())
    if not is_filled:
        send_following(runtime.store, query)
        return
    with watch.phase("test_embeddings"):
        points = make_test_points(
            runtime,
            query.request,
            model,
            predict=query.request.aggregate == "each",
            with_base=True,
            collect=collect_embeddings,
        )
        points = points.mean() if query.request.aggregate == "mean" else points
        vectors = points.gradients[VECTORS]
    with watch.phase("load_index"), restoring(runtime, index):
        hot = runtime.hot_indexes.get(
            index, lambda: load_embeddings(runtime, index, model, int(vectors.shape[1])), what=EMBEDDINGS
        )
    with watch.phase("score"):
        influence = hot.score(vectors)
    _store(runtime, query, index, hot, points, influence, watch)


def _store(
    runtime: Runtime,
    query: Query,
    index: Index,
    hot: EmbeddingIndex,
    points: TestPoints,
    influence: NDArray[np.float32],
    watch: Stopwatch,
) -> None:
    """Write results and scores; what would speak of gradients, damping and fidelity, stays empty."""
    with watch.phase("rank"):
        scored = Influence(hot.row_indexes, influence)
        builder = ResultBuilder(runtime, query, index, points, scored, exact="all")
        results = builder.build(rank_points(scored, query.request))
        runtime.store.scores.write(query.id, spread_rows(influence, hot.row_indexes, index.rows))
    answer: Json = {
        "results": tuple(results),
        "rows_scored": influence.shape[1],
        "storage": index.spec.storage,
        "milliseconds": watch.finish(),
        "notes": tuple(dict.fromkeys((*query.notes, BASELINES[query.request.method].note))),
    }
    finish(runtime.store, query, lambda current: current.model_copy(update=answer))


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

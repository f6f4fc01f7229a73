"""A query by a baseline: embeddings in the place of gradients, similarity in the place of influence."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.methods.baselines import Baseline
from influence.methods.blocks import TrainBlock, project
from workers.models import HotModel
from workers.runtime import Runtime
from workers.scoring.embedding_pieces import (
    EMBEDDINGS,
    count_bytes,
    cut_pieces,
    fill_embeddings,
    read_embeddings,
    read_row_state,
)
from workers.scoring.embeddings import VECTORS, collect_embeddings
from workers.scoring.recording import Stopwatch, finish_query, record_answer
from workers.scoring.testpoints import make_test_points
from workers.turns import end_of_turn


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
        similarity: NDArray[np.float32] = project(self.block, vectors.to(self.block.shards[0].device)).cpu().numpy()
        return np.negative(similarity, out=similarity)


def answer_baseline(
    runtime: Runtime, query: Query, index: Index, model: HotModel, baseline: Baseline, watch: Stopwatch
) -> None:
    """Score the query's test points by similarity; embeds the training rows first, in turns, where that is not done."""
    name = f"{index.id}.{EMBEDDINGS}"
    if not runtime.hot_indexes.holds(name) and not fill_embeddings(runtime, index, model, query.job_id, end_of_turn()):
        runtime.store.queue.submit_following("answer_query", query_id=query.id)
        return
    with watch.phase("test_embeddings"):
        points = make_test_points(runtime, query, model, collect_embeddings)
        points = points.mean() if query.request.aggregate == "mean" else points
        vectors = points.gradients[VECTORS]
    with watch.phase("load_embeddings"):
        hot = runtime.hot_indexes.get(name, lambda: load_embeddings(runtime, index, model, int(vectors.shape[1])))
    with watch.phase("score"):
        influence = hot.score(vectors)
    record_answer(runtime, query, index, hot, points, influence, None, watch, (baseline.note,))
    finish_query(runtime, query)


def load_embeddings(runtime: Runtime, index: Index, model: HotModel, width: int) -> EmbeddingIndex:
    """Read the embeddings of all rows."""
    pieces = cut_pieces(runtime, index)
    vectors = [read_embeddings(runtime, index, model, piece, width) for piece in pieces]
    count_bytes(runtime, index, sum(part.nbytes for part in vectors))
    commits = [piece.commit for piece in pieces if piece.number == 0]
    block = TrainBlock(
        torch.from_numpy(np.concatenate(vectors)).to(runtime.device),
        torch.ones(sum(map(len, pieces)), device=runtime.device),
        width,
    )
    return EmbeddingIndex(
        block,
        np.concatenate([read_row_state(runtime, index, commit, "kept", "int64") for commit in commits]),
        np.concatenate([read_row_state(runtime, index, commit, "losses", "float32") for commit in commits]),
    )

"""A query by a baseline: embeddings in the place of gradients, similarity in the place of influence."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.index import Index, ShardCommit
from influence.contracts.query import Query
from influence.methods.baselines import Baseline
from influence.methods.blocks import TrainBlock, project
from influence.store.chunks import DamagedChunk
from workers.models import HotModel
from workers.runtime import Runtime
from workers.scoring.embeddings import (
    EMBEDDINGS,
    VECTORS,
    collect_embeddings,
    fill_embeddings,
    read_row_state,
    write_embeddings,
)
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
    with watch.phase("test_embeddings"):
        points = make_test_points(runtime, query, model, collect_embeddings)
        points = points.mean() if query.request.aggregate == "mean" else points
        vectors = points.gradients[VECTORS]
    name, width = f"{index.id}.{EMBEDDINGS}", int(vectors.shape[1])
    with watch.phase("load_embeddings"):
        if not runtime.hot_indexes.holds(name) and not fill_embeddings(
            runtime, index, model, width, query.job_id, end_of_turn()
        ):
            runtime.store.queue.submit_following("answer_query", query_id=query.id)
            return
        hot = runtime.hot_indexes.get(name, lambda: load_embeddings(runtime, index, model, width))
    with watch.phase("score"):
        influence = hot.score(vectors)
    record_answer(runtime, query, index, hot, points, influence, None, watch, (baseline.note,))
    finish_query(runtime, query)


def load_embeddings(runtime: Runtime, index: Index, model: HotModel, width: int) -> EmbeddingIndex:
    """Read the embeddings of all shards; one that is lost or damaged is computed again."""
    commits = [commit for _, commit in sorted(runtime.store.index_data.commits(index.id).items()) if commit.rows]
    kept, losses, vectors = [], [], []
    for commit in commits:
        kept.append(read_row_state(runtime, index, commit, "kept", "int64"))
        losses.append(read_row_state(runtime, index, commit, "losses", "float32"))
        vectors.append(_read_vectors(runtime, index, model, commit, width))
    on_device = tuple(torch.from_numpy(array).to(runtime.device) for array in vectors)
    lengths = torch.ones(sum(commit.rows for commit in commits), device=runtime.device)
    return EmbeddingIndex(TrainBlock(on_device, lengths, width), np.concatenate(kept), np.concatenate(losses))


def _read_vectors(
    runtime: Runtime, index: Index, model: HotModel, commit: ShardCommit, width: int
) -> NDArray[np.generic]:  # fmt: skip
    shape = (commit.rows, width)
    try:
        return runtime.store.index_data.read_rows(index.id, commit.shard, EMBEDDINGS, shape, "float16")
    except DamagedChunk:
        write_embeddings(runtime, index, model, commit)
        return runtime.store.index_data.read_rows(index.id, commit.shard, EMBEDDINGS, shape, "float16")

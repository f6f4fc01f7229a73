"""Embeddings of rows under the checkpoint: what the baseline `embedding` compares.

An embedding is the mean of the last hidden states over a row's own tokens, at length 1. Those of training rows are row
state of the index, float16, one array a shard; they are made when first asked for, and again where they are lost.
"""

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from influence.contracts.index import Index, ShardCommit
from influence.errors import Cancelled, DoesNotFit, NonFiniteGradients, UnsupportedModule
from influence.rows.file import RowFile
from workers.collecting import stream_forward
from workers.models import HotModel
from workers.rows import Batch, EncodedRow, Row
from workers.runtime import Runtime
from workers.scoring.repair import read_or_repair

#: Row state of a shard: embeddings (rows, width) float16.
EMBEDDINGS = "embeddings"
#: Name of the vectors where gradients have the names of blocks.
VECTORS = "embedding"
_ITEM_BYTES = 2


def embed_batch(model: nn.Module, batch: Batch) -> Tensor:
    """Unit embeddings (B, width) float32 of a batch's rows; zero where all hidden states cancel out.

    The head is left out. Raises UnsupportedModule for a model that tells no hidden states.
    """
    found = getattr(model, "get_base_model", lambda: model)()
    encoder = getattr(found, "base_model", found)
    hidden = getattr(encoder(**batch.inputs), "last_hidden_state", None)
    if hidden is None:
        raise UnsupportedModule(
            f"A {type(encoder).__name__} tells no hidden states, so its rows have no embedding.",
            hint="Use an influence method; GET /v1/methods lists them.",
        )
    mask = batch.inputs["attention_mask"][:, :, None].to(torch.float32)
    mean = (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
    return nn.functional.normalize(mean, dim=1)


def embed_rows(runtime: Runtime, model: HotModel, encoded: Sequence[EncodedRow]) -> Tensor:
    """Unit embeddings (rows, width) float32 on the CPU, in order. Raises NonFiniteGradients naming rows."""
    found: Tensor | None = None
    for positions, vectors in stream_forward(runtime, model, encoded, embed_batch):
        if found is None:
            found = torch.empty(len(encoded), vectors.shape[1])
        found[positions] = vectors.cpu()
    assert found is not None
    bad = torch.nonzero(~torch.isfinite(found).all(dim=1)).flatten().tolist()
    if bad:
        names = ", ".join(encoded[row].row_id for row in bad[:5])
        raise NonFiniteGradients(f"{len(bad)} rows have NaN or infinite hidden states: {names}.")
    return found


def collect_embeddings(
    runtime: Runtime, model: HotModel, rows: Sequence[Row]
) -> tuple[list[float], dict[str, Tensor]]:  # fmt: skip
    """Losses of test points, and their embeddings in the gradients' place."""
    encoded = model.task.tokenise(rows)
    losses = torch.empty(len(encoded))
    for positions, found in stream_forward(runtime, model, encoded, model.task.row_losses):
        losses[positions] = found.float().cpu()
    return losses.tolist(), {VECTORS: embed_rows(runtime, model, encoded)}


def fill_embeddings(runtime: Runtime, index: Index, model: HotModel, width: int, job_id: str, until: float) -> bool:
    """Embed shards that are not embedded yet, at least one, until the moment `until`; whether all are done now.

    Raises DoesNotFit before anything is computed when they would exceed the budget, Cancelled.
    """
    data, commits = runtime.store.index_data, runtime.store.index_data.commits(index.id)
    rows = sum(commit.rows for commit in commits.values())
    missing = [
        commits[shard]
        for shard in sorted(commits)
        if commits[shard].rows and not data.has_rows(index.id, shard, EMBEDDINGS)
    ]
    if missing:
        _check_room(runtime, index, rows * width * _ITEM_BYTES)
        runtime.store.jobs.continue_phase(job_id, "embeddings", total=rows)
    left = sum(commit.rows for commit in missing)
    for commit in missing:
        write_embeddings(runtime, index, model, commit)
        left -= commit.rows
        _report(runtime, job_id, rows - left)
        if left and time.monotonic() > until:
            return False
    _count_bytes(runtime, index, rows, width)
    return True


def _report(runtime: Runtime, job_id: str, done: int) -> None:
    runtime.check_stopping()
    if runtime.store.jobs.is_cancelled(job_id):
        raise Cancelled("The query was cancelled.")
    runtime.store.jobs.set_done(job_id, done)


def write_embeddings(runtime: Runtime, index: Index, model: HotModel, commit: ShardCommit) -> None:
    """Embed one shard's rows and keep them. Raises Cancelled when the index was deleted meanwhile."""
    data = runtime.store.index_data
    kept = read_row_state(runtime, index, commit, "kept", "int64")
    rows = RowFile(runtime.files.dataset(index.spec.dataset_id)).read_many(kept.tolist())
    vectors = embed_rows(runtime, model, model.task.tokenise(rows)).half().numpy()
    data.write_rows(index.id, commit.shard, EMBEDDINGS, vectors)
    if runtime.store.indexes.find(index.id) is None:
        data.delete(index.id)
        raise Cancelled(f"The index {index.id} was deleted.")


def read_row_state(
    runtime: Runtime, index: Index, commit: ShardCommit, part: str, dtype: str
) -> NDArray[np.generic]:  # fmt: skip
    """One number a row of a shard, such as `losses`; a shard that was lost is computed again."""

    def read() -> NDArray[np.generic]:
        return runtime.store.index_data.read_rows(index.id, commit.shard, part, (commit.rows,), dtype)

    return read_or_repair(runtime, index, commit.shard, read)


def _check_room(runtime: Runtime, index: Index, wanted: int) -> None:
    budget = runtime.settings.storage_budget_bytes
    if (index.bytes or 0) + wanted > budget:
        raise DoesNotFit(
            f"The embeddings of {index.id} take {wanted:,} bytes beside its {index.bytes or 0:,}, more than the "
            f"{budget:,} that an index may take.",
            hint="Ask an influence method, or raise DATAINF_STORAGE_BUDGET_BYTES.",
            extra={"needed_bytes": wanted, "index_bytes": index.bytes, "budget_bytes": budget},
        )


def _count_bytes(runtime: Runtime, index: Index, rows: int, width: int) -> None:
    if index.embedding_bytes is not None:
        return
    size = rows * width * _ITEM_BYTES

    def count(current: Index) -> Index:
        bare = (current.bytes or 0) - (current.embedding_bytes or 0)
        return current.model_copy(update={"bytes": bare + size, "embedding_bytes": size})

    runtime.store.indexes.update(index.id, count)

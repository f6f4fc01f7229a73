"""The same build on the same device gives the same bytes, whatever worker makes it and however fast it is today."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, idle_runtime, submit_index
from support.tiny import TinyCheckpoint

from influence.contracts.index import Index, IndexSpec
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from influence.store.work import delete
from workers.building.finish import finish_index
from workers.building.plan import plan_index
from workers.building.shard import compute_shard
from workers.building.sizes import choose_batch_tokens, choose_shard_rows
from workers.runtime.state import Runtime

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def build(runtime: Runtime, index: Index) -> Index:
    plan_index(runtime, index)
    planned = runtime.store.indexes.require(index.id)
    for shard in range(planned.shards):
        compute_shard(runtime, planned, shard)
    finish_index(runtime, planned)
    return runtime.store.indexes.require(index.id)


def bytes_of(store: Store, index: Index) -> dict[bytes, bytes]:
    """All that is kept of an index by the part of the key that no build shares."""
    state = store.connections.state
    names = list(state.scan_iter(match=f"datainf:{{{index.build}*"))
    values: dict[bytes, Any] = {name: state.get(name) for name in names if state.type(name) == b"string"}
    return {name.replace(index.build.encode(), b""): value for name, value in values.items()}


@pytest.mark.parametrize("storage", ["full", "compact"])
def test_the_same_build_gives_the_same_bytes(
    server: EmbeddedServer, store: Store, tmp_path: Path, classifier: TinyCheckpoint, storage: str
) -> None:
    kept: list[dict[bytes, bytes]] = []
    for tokens_found in (64, 2048):
        with idle_runtime(server.url, tmp_path / "data", token_budget=0, shard_seconds=1e-3) as runtime:
            runtime.token_budget.halve(rows=2, longest=tokens_found)  # what this worker has found to be fast
            checkpoint = add_checkpoint(store, runtime.files, classifier, "sequence_classification")
            dataset = add_dataset(store, runtime.files, make_ticket_rows(90, seed=1), "classification")
            index = build(runtime, submit_index(store, checkpoint, dataset, storage=storage))
        assert index.shards == 3
        kept.append(bytes_of(store, index))
        delete(store, index)
    assert len(kept[0]) > 6
    assert {name for name in kept[0].keys() | kept[1].keys() if kept[0].get(name) != kept[1].get(name)} == set()


def test_batches_are_as_large_as_the_model_lets_them_be() -> None:
    sizes = [choose_batch_tokens(weights, CPU) for weights in (0, 10_000, 25_000_000, 50_000_000, 7_000_000_000)]
    assert sizes == [4096, 4096, 512, 256, 256]
    assert choose_batch_tokens(25_000_000, CPU, wanted=777) == 777
    assert choose_batch_tokens(7_000_000_000, GPU) == 1024


def test_shards_are_as_large_as_their_work_and_their_memory_let_them_be() -> None:
    def rows_of(weights: int, seconds: float, storage: str = "compact", parameters: int = 1000) -> int:
        spec = IndexSpec(checkpoint_id="c", dataset_id="d", storage=storage)
        options = {"parameters": parameters, "weights": weights, "tokens_per_row": 50.0, "shard_seconds": seconds}
        return choose_shard_rows(spec, 100_000, device=CPU, **options)  # type: ignore[arg-type]

    assert rows_of(25_000_000, 20.0) == 787
    assert rows_of(25_000_000, 10.0) == 393
    assert (rows_of(1000, 20.0), rows_of(10**12, 20.0)) == (8192, 32)
    assert rows_of(1000, 20.0, "full", parameters=1 << 20) == 64

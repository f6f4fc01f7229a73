"""A lost shard is computed again by one worker; the others wait for as long as that one lives."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, idle_runtime, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint

from influence.contracts.index import Index
from influence.errors import ShardMissing
from influence.store import keys
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.building.finish import finish_index
from workers.building.plan import plan_index
from workers.building.shard import compute_shard
from workers.indexes import repair
from workers.indexes.open import open_hot
from workers.indexes.repair import lease_repair
from workers.runtime.interrupts import ShutdownRequested
from workers.runtime.state import Runtime

ROWS = make_ticket_rows(60)
Wait = Callable[..., None]


@pytest.fixture
def two(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[tuple[Runtime, Runtime]]:
    """What two worker processes work with; neither takes messages."""
    with idle_runtime(server.url, tmp_path / "data") as one, idle_runtime(server.url, tmp_path / "data") as other:
        yield one, other


@pytest.fixture
def index(store: Store, two: tuple[Runtime, Runtime], classifier: TinyCheckpoint) -> Index:
    checkpoint = add_checkpoint(store, two[0].files, classifier, "sequence_classification")
    dataset = add_dataset(store, two[0].files, ROWS, "classification")
    asked = submit_index(store, checkpoint, dataset, storage="full")
    store.jobs.start(asked.job_id)
    plan_index(two[0], asked)
    for shard in range(store.indexes.require(asked.id).shards):
        compute_shard(two[0], store.indexes.require(asked.id), shard)
    finish_index(two[0], store.indexes.require(asked.id))
    return store.indexes.require(asked.id)


def lose(store: Store, index: Index) -> str:
    """Lose a chunk of the first shard; answers the name of the lock on its repair."""
    store.connections.cache.delete(keys.gradients(index.build, 0, 0, 0))
    return keys.repair_lock(index.build, 0)


def open_in_thread(runtime: Runtime, index: Index) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(open_hot(runtime, index, index.job_id)))
    thread.start()
    return thread, found


def test_a_worker_that_dies_in_a_repair_holds_the_others_up_for_one_lease(
    store: Store, two: Any, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(store, index)
    assert keys.REPAIR_SECONDS <= 15
    monkeypatch.setattr(keys, "REPAIR_SECONDS", 1)
    assert store.index_data.claim_repair(index.build, 0, "killed in its repair")
    thread, found = open_in_thread(two[1], index)
    thread.join(300)
    assert len(found) == 1
    assert store.connections.state.get(keys.repair_lock(index.build, 0)) is None


def test_the_living_renew_their_lease(
    store: Store, two: Any, index: Index, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    monkeypatch.setattr(repair, "_RENEWALS", 300)  # often, and the lease stays as long as it is
    name, state = keys.repair_lock(index.build, 0), store.connections.state
    with lease_repair(two[0], index, 0) as is_ours:
        assert is_ours
        holder = state.get(name)
        for _ in range(3):
            soon = 1000 * keys.REPAIR_SECONDS // 2
            state.pexpire(name, soon)  # as if time had passed
            wait_until(lambda soon=soon: state.pttl(name) > soon, "the lease is renewed")
        assert state.get(name) == holder
        with lease_repair(two[1], index, 0) as is_theirs:
            assert not is_theirs
    assert state.get(name) is None


def test_a_lease_that_another_took_over_is_neither_renewed_nor_given_back(store: Store, index: Index) -> None:
    name, data = keys.repair_lock(index.build, 0), store.index_data
    store.connections.state.set(name, "another")
    assert not data.renew_repair(index.build, 0, "first")
    data.release_repair(index.build, 0, "first")
    assert store.connections.state.get(name) == b"another"


def test_a_worker_waits_for_another_that_repairs_and_reads_what_that_one_wrote(
    store: Store, two: Any, index: Index, wait_until: Wait
) -> None:
    before: Any = open_hot(two[0], index, index.job_id)
    two[0].hot_indexes.forget(index.id)
    name = lose(store, index)
    with lease_repair(two[0], index, 0):
        thread, found = open_in_thread(two[1], index)
        wait_until(
            lambda: b"loading index" in store.connections.state.hgetall(keys.job(index.job_id)).values(), "it waits"
        )
        assert thread.is_alive()
        repair._repair(two[0], index, 0)
        thread.join(300)
        assert store.connections.state.get(name) is not None  # it read what was there and claimed nothing
    for block, values in found[0].blocks.items():
        np.testing.assert_allclose(values.shards[0], before.blocks[block].shards[0], rtol=0, atol=1e-5)


def test_a_query_whose_shard_does_not_come_in_time_is_told_so(
    store: Store, two: Any, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "REPAIR_WAIT_SECONDS", 0.0)
    lose(store, index)
    with lease_repair(two[0], index, 0), pytest.raises(ShardMissing) as caught:
        open_hot(two[1], index, index.job_id)
    problem = caught.value.problem()
    assert (problem["status"], problem["code"], problem["shard"]) == (503, "shard_missing", 0)


def test_a_process_that_is_to_end_does_not_wait_for_a_repair(store: Store, two: Any, index: Index) -> None:
    lose(store, index)
    with lease_repair(two[0], index, 0):
        two[1].stopping.set()
        with pytest.raises(ShutdownRequested):
            open_hot(two[1], index, index.job_id)


def test_the_answer_of_a_query_says_that_the_shard_is_missing(
    server: EmbeddedServer,
    store: Store,
    two: Any,
    index: Index,
    tmp_path: Path,
    finished: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repair, "REPAIR_WAIT_SECONDS", 0.0)
    lose(store, index)
    with lease_repair(two[0], index, 0), running_worker(server.url, tmp_path / "data"):
        query = submit_query(store, index.id, examples=ROWS[:1])
        job = finished(store, query.job_id)
    assert (job.state, job.error["code"]) == ("failed", "shard_missing")

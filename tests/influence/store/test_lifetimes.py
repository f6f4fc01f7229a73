"""What ends by itself ends by our hand: a full server may evict gradients and nothing else."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.work import keys_about, make_work, write_data

from influence.contracts.work import QUERY, WORK_KINDS
from influence.store import keys, work
from influence.store.connections import connect
from influence.store.embedded import EmbeddedServer
from influence.store.ending.sweeping import remove_ended
from influence.store.store import Store

MONTHS = 100 * 24 * 3600
_MIB = 1 << 20


def keep_everything(store: Store) -> None:
    """Finished work of every kind with its data, an answer to an idempotency key, a worker's sign of life."""
    for kind in WORK_KINDS:
        made = work.accept(store, make_work(kind))
        write_data(store, made)
        work.finish(store, made, lambda current: current)
    store.idempotency.begin("pending")
    store.idempotency.begin("done")
    store.idempotency.finish("done", {"resource_id": "qry_a"})
    store.workers.announce("w1", {"name": "w1"})


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Store]:
    """A server of its own with 24 MiB."""
    server = EmbeddedServer(tmp_path / "small", maxmemory_bytes=24 * _MIB)
    server.start()
    connections = connect(server.url)
    yield Store(connections)
    connections.close()
    server.stop()


def test_a_full_server_evicts_gradients_and_nothing_else(small: Store) -> None:
    keep_everything(small)
    state = small.connections.state
    before = set(state.scan_iter())
    assert {name: state.ttl(name) for name in before} == dict.fromkeys(before, -1)
    for shard in range(40):
        small.index_data.write_gradients("idx_b-job_b", shard, 0, np.ones((_MIB // 4,), np.float32))
    assert state.info("stats")["evicted_keys"] > 0
    assert before <= set(state.scan_iter())


def test_nothing_is_removed_before_its_time(store: Store) -> None:
    keep_everything(store)
    before = set(store.connections.state.scan_iter())
    assert remove_ended(store) == 0
    assert set(store.connections.state.scan_iter()) == before


def test_what_has_ended_is_removed_with_all_that_it_kept(store: Store) -> None:
    keep_everything(store)
    ended = [made for records in store.work.values() if records.kind.lifetime_seconds for made in records.all()]
    assert ended
    remove_ended(store, now=time.time() + MONTHS)
    assert [keys_about(store, made.id) for made in ended] == [[]] * len(ended)
    assert store.jobs.page(limit=20).data == []
    assert store.idempotency.begin("done") is True
    assert {found.kind.name for found in store.work.values() if found.all()} == {"index", "evaluation"}
    assert remove_ended(store, now=0.0) == 0


def test_what_cannot_be_removed_for_its_name_stands_in_nobodys_way(store: Store) -> None:
    made = work.accept(store, make_work(QUERY))
    work.finish(store, made, lambda current: current)
    store.connections.state.zadd(keys.lifetimes(), {b"query *": 1, b"job qry_1:x": 2, b"odd": 3, b"\xff": 4, b"": 5})
    remove_ended(store, now=time.time() + MONTHS)
    assert store.queries.all() == []
    assert store.connections.state.zcard(keys.lifetimes()) == 0


def test_a_worker_that_went_silent_is_not_alive(store: Store) -> None:
    store.workers.announce("w1", {"name": "w1"})
    store.workers.announce("w2", {"name": "w2"})
    store.connections.state.zincrby(keys.listing("worker"), -1000 * (keys.WORKER_SECONDS + 1), "w1")
    assert store.workers.alive() == [{"name": "w2"}]
    assert keys_about(store, "w1") == []

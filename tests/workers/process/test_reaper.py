"""Work that has no message any more is submitted again; work that has one is not."""

import pytest

from influence.contracts.common import now
from influence.contracts.index import Index, IndexSpec, ShardCommit
from influence.store.queue import make_broker
from influence.store.store import Store
from workers.process.reaper import resubmit_lost_work


@pytest.fixture
def building(store: Store) -> Index:
    spec = IndexSpec(checkpoint_id="ckpt_a", dataset_id="ds_a", storage="full")
    index = Index(
        id="idx_a", job_id="job_a", state="running", spec=spec, rows=30, shards=3, rows_per_shard=10, created_at=now()
    )
    store.indexes.create(index)
    store.jobs.create("job_a", "index", "idx_a", "/v1/indexes/idx_a")
    return index


def test_lost_shards_are_submitted_again(store: Store, building: Index) -> None:
    store.index_data.commit("idx_a", ShardCommit(shard=1, rows=10, bytes=1, seconds=0.1, chunks=1))
    store.queue.submit("compute_shard", index_id="idx_a", shard=2)
    assert resubmit_lost_work(store) == 1
    waiting = sorted(arguments["shard"] for _, arguments in store.queue.waiting("build"))
    assert waiting == [0, 2]
    assert resubmit_lost_work(store) == 0


def test_a_lost_finish_is_submitted_again(store: Store, building: Index) -> None:
    for shard in range(3):
        store.index_data.commit("idx_a", ShardCommit(shard=shard, rows=10, bytes=1, seconds=0.1, chunks=1))
    assert resubmit_lost_work(store) == 1
    assert store.queue.waiting("build") == [("finish_index", {"index_id": "idx_a"})]


def test_a_lost_plan_is_submitted_again(store: Store, building: Index) -> None:
    store.indexes.update("idx_a", lambda index: index.model_copy(update={"shards": 0, "state": "queued"}))
    assert resubmit_lost_work(store) == 1
    assert store.queue.waiting("build") == [("plan_index", {"index_id": "idx_a"})]


def test_cancelled_builds_are_left_alone(store: Store, building: Index) -> None:
    store.jobs.cancel("job_a")
    assert resubmit_lost_work(store) == 0


def test_messages_of_a_dead_process_go_back_to_the_queue(store: Store, building: Index) -> None:
    store.queue.submit("compute_shard", index_id="idx_a", shard=0)
    broker = make_broker(store.connections.state, queues=("build",))
    broker.broker_id = "host-1-0:build"
    consumer = broker.consume("build")
    assert next(consumer) is not None
    assert next(broker.consume("build", timeout=1)) is None
    assert store.queue.reclaim("host-1-0:build") == 1
    again = next(broker.consume("build"))
    assert again is not None
    assert again.kwargs == {"index_id": "idx_a", "shard": 0}

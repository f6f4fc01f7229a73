"""Work that has no message any more is submitted again; work that has one is not."""

from datetime import UTC, datetime

import pytest
from support.work import make_work

from influence.contracts.index import Index, ShardCommit
from influence.contracts.work import INDEX, QUERY
from influence.store import keys
from influence.store.queue import make_broker
from influence.store.store import Store
from influence.store.work import address, keep, send
from workers.process.reaper import resubmit_lost_work


@pytest.fixture
def building(store: Store) -> Index:
    planned = {"state": "running", "shards": 3, "rows_per_shard": 10}
    index: Index = make_work(INDEX, id="idx_a", job_id="job_a", **planned)
    return keep(store, index)


def test_lost_shards_are_submitted_again(store: Store, building: Index) -> None:
    store.index_data.commit(building.build, ShardCommit(shard=1, rows=10, bytes=1, seconds=0.1, chunks=1))
    send(store, building, "compute_shard", shard=2)
    assert resubmit_lost_work(store) == 1
    waiting = sorted(arguments["shard"] for _, arguments in store.queue.waiting("build"))
    assert waiting == [0, 2]
    assert resubmit_lost_work(store) == 0


def test_a_lost_finish_is_submitted_again(store: Store, building: Index) -> None:
    for shard in range(3):
        store.index_data.commit(building.build, ShardCommit(shard=shard, rows=10, bytes=1, seconds=0.1, chunks=1))
    assert resubmit_lost_work(store) == 1
    assert store.queue.waiting("build") == [address(store, building, "finish_index")]


def test_a_lost_plan_is_submitted_again(store: Store, building: Index) -> None:
    store.indexes.update("idx_a", lambda index: index.model_copy(update={"shards": 0, "state": "queued"}))
    assert resubmit_lost_work(store) == 1
    assert store.queue.waiting("build") == [address(store, building)]


def test_cancelled_builds_are_left_alone(store: Store, building: Index) -> None:
    store.jobs.cancel("job_a")
    assert resubmit_lost_work(store) == 0


def test_a_job_whose_record_was_never_kept_does_not_wait_for_ever(store: Store, building: Index) -> None:
    made = (("job_new", QUERY, "qry_1"), ("job_old", QUERY, "qry_2"), ("job_late", INDEX, building.id))
    for job_id, kind, resource in made:
        store.jobs.create(job_id, kind.name, resource, kind.path(resource))
    for job_id in ("job_old", "job_late"):
        record = store.jobs.require(job_id).model_copy(update={"created_at": datetime(2020, 1, 1, tzinfo=UTC)})
        text = record.model_dump_json(include={"id", "kind", "resource_id", "resource", "created_at"})
        store.connections.state.hset(keys.job(job_id), "record", text)
    resubmit_lost_work(store)
    assert {job.id for job in store.jobs.open()} == {"job_a", "job_new"}
    assert store.jobs.find("job_old") is store.jobs.find("job_late") is None


def test_messages_of_a_dead_process_go_back_to_the_queue(store: Store, building: Index) -> None:
    send(store, building, "compute_shard", shard=0)
    broker = make_broker(store.connections.state, queues=("build",))
    broker.broker_id = "host-1-0:build"
    consumer = broker.consume("build")
    assert next(consumer) is not None
    assert next(broker.consume("build", timeout=1)) is None
    assert store.queue.reclaim("host-1-0:build") == 1
    again = next(broker.consume("build"))
    assert again is not None
    assert again.kwargs == {"index_id": "idx_a", "job_id": "job_a", "shard": 0}

"""Figures that an operator watches, read from what requests and workers left in the store."""

import re
import time
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from app.http.health.figures import MOST_WORKERS
from app.http.health.index_figures import MOST_INDEXES, OTHERS
from influence.contracts.index import ShardCommit
from influence.store import keys
from influence.store.store import Store


def read(client: TestClient) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by (name, values of labels in the order of their names) as a scraper sees them."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples
    }


def test_a_build_is_told_from_its_begin_to_its_end(client: TestClient, store: Store, index: dict[str, Any]) -> None:
    began = time.time()
    store.jobs.start(index["job_id"])
    store.jobs.set_phase(index["job_id"], "gradients", total=12)
    store.jobs.set_done(index["job_id"], 6, shard=0)
    found = read(client)
    assert found["datainf_jobs_began_total", ("index",)] == 1
    assert began - 1 < found["datainf_job_last_began_timestamp_seconds", ("index",)] < time.time() + 1
    assert found["datainf_build_rows", (index["id"],)] == 12
    assert found["datainf_build_rows_done", (index["id"],)] == 6
    assert ("datainf_build_rows_per_second", (index["id"],)) in found
    store.jobs.succeed(index["job_id"])
    found = read(client)
    assert found["datainf_jobs_ended_total", ("none", "index", "succeeded")] == 1
    assert ("datainf_job_last_ended_timestamp_seconds", ("index", "succeeded")) in found
    assert ("datainf_build_rows", (index["id"],)) not in found


def test_failures_are_counted_by_their_code_and_once(client: TestClient, store: Store, index: dict[str, Any]) -> None:
    for _ in range(2):
        store.jobs.fail(index["job_id"], {"code": "worker_died"})
    assert read(client)["datainf_jobs_ended_total", ("worker_died", "index", "failed")] == 1


def test_a_shard_that_is_delivered_twice_counts_its_rows_once(
    client: TestClient, store: Store, index: dict[str, Any]
) -> None:
    build = store.indexes.require(index["id"]).build
    for _ in range(2):
        store.index_data.commit(build, ShardCommit(shard=0, rows=12, bytes=340, seconds=1.0, chunks=1))
    assert read(client)["datainf_index_rows_total", ()] == 12


def test_bytes_of_a_build_under_way_are_those_committed(
    client: TestClient, store: Store, index: dict[str, Any]
) -> None:
    found = store.indexes.update(index["id"], lambda now: now.model_copy(update={"shards": 2, "bytes": 60}))
    store.index_data.commit(found.build, ShardCommit(shard=0, rows=6, bytes=340, seconds=1.0, chunks=1))
    told = read(client)
    assert told["datainf_index_redis_bytes", (index["id"],)] == 400
    assert (
        told["datainf_index_file_bytes", (index["id"],)]
        == store.datasets.require(index["spec"]["dataset_id"]).bytes
        > 0
    )


def test_many_indexes_are_told_as_the_largest_and_the_others(
    client: TestClient, store: Store, index: dict[str, Any]
) -> None:
    made = store.indexes.require(index["id"])
    for number in range(MOST_INDEXES + 4):
        size = {"id": f"idx_n{number}", "bytes": 1000 + number, "state": "succeeded"}
        store.indexes.create(made.model_copy(update=size))
    told = {labels[0]: value for (name, labels), value in read(client).items() if name == "datainf_index_redis_bytes"}
    assert len(told) == MOST_INDEXES + 1
    assert told[OTHERS] == sum(range(1000, 1004))  # and the one of no bytes yet
    assert told[f"idx_n{MOST_INDEXES + 3}"] == 1000 + MOST_INDEXES + 3


def test_the_age_of_a_queue_is_that_of_its_oldest_message(client: TestClient, store: Store) -> None:
    assert read(client)["datainf_queue_oldest_seconds", ("query",)] == 0
    store.queue.submit("answer_query", query_id="qry_1", job_id="job_1")
    name = f"{keys.QUEUE_NAMESPACE}:query"
    lying: Any = store.connections.state.hgetall(f"{name}.msgs")
    for message, text in lying.items():
        sent = re.sub(rb'"message_timestamp": ?\d+', b'"message_timestamp":1', text)
        store.connections.state.hset(f"{name}.msgs", message, sent)
    found = read(client)
    assert found["datainf_queue_depth", ("query",)] == 1
    assert found["datainf_queue_oldest_seconds", ("query",)] > 1e9
    assert found["datainf_queue_oldest_seconds", ("build",)] == 0


def test_workers_say_what_they_do_and_what_they_take(client: TestClient, store: Store) -> None:
    about = {"host": "h", "device": "cpu", "in_hand": 2, "memory_bytes": 5, "hot_index_bytes": 7}
    store.workers.announce("w1", {"name": "w1", **about})
    store.workers.announce("old", {"name": "old"})
    found = read(client)
    assert found["datainf_workers", ()] == 2
    assert found["datainf_worker", ("cpu", "h", "w1")] == 1
    assert found["datainf_worker_busy_threads", ("w1",)] == 2
    assert found["datainf_worker_memory_bytes", ("w1",)] == 5
    assert found["datainf_worker_hot_index_bytes", ("w1",)] == 7
    assert ("datainf_worker_memory_bytes", ("old",)) not in found


def test_no_more_workers_are_named_than_a_scraper_should_take(client: TestClient, store: Store) -> None:
    for number in range(MOST_WORKERS + 5):
        store.workers.announce(f"w{number}", {"name": f"w{number}"})
    found = read(client)
    assert found["datainf_workers", ()] == MOST_WORKERS + 5
    assert sum(name == "datainf_worker" for name, _ in found) == MOST_WORKERS


@pytest.mark.parametrize("field", ["began", "ended index", "rows of all", "odd index", "began index"])
def test_a_garbled_count_is_left_out(client: TestClient, store: Store, field: str) -> None:
    store.connections.state.hset(keys.counters(), field, "many")
    store.connections.state.hset(keys.counters(), "rows", "3")
    assert read(client)["datainf_index_rows_total", ()] == 3


def test_memory_of_the_state_server_is_told(client: TestClient) -> None:
    assert read(client)["datainf_redis_used_bytes", ()] > 0

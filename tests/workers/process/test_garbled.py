"""Records and messages that cannot be read end nothing: a worker stays alive, and answers everybody else."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.answered import present
from support.rows import make_ticket_rows
from support.service import submit_index, submit_query
from support.work import make_work

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.work import WORK_KINDS, WorkKind
from influence.store import keys
from influence.store.connections import StoreError
from influence.store.store import Store
from influence.store.work import accept, address, keep
from workers.process import held
from workers.process import worker as process
from workers.process.reaper import resubmit_lost_work
from workers.runtime.state import Runtime

TEST = make_ticket_rows(1, seed=9)
every_kind = pytest.mark.parametrize("kind", WORK_KINDS, ids=lambda kind: kind.name)


def damage(store: Store, kind: str, record_id: str) -> None:
    store.connections.state.set(keys.record(kind, record_id), "no JSON")


@every_kind
def test_the_job_of_a_record_that_cannot_be_read_fails_and_others_are_found(store: Store, kind: WorkKind[Any]) -> None:
    bad, good = (keep(store, make_work(kind)) for _ in range(2))
    damage(store, kind.name, bad.id)
    assert resubmit_lost_work(store) == 1
    assert store.queue.waiting(kind.queue) == [address(store, good)]
    job = store.jobs.require(bad.job_id)
    assert (job.state, present(job.error)["code"]) == ("failed", "record_damaged")
    assert resubmit_lost_work(store) == 0


def test_a_job_about_nothing_fails(store: Store) -> None:
    store.jobs.create("job_a", "query", "no:id", "/v1/queries/no:id")
    assert resubmit_lost_work(store) == 0
    assert store.jobs.require("job_a").state == "failed"


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Housekeeping that looks all the time."""
    monkeypatch.setattr(process, "ANNOUNCE_SECONDS", 0.05)
    monkeypatch.setattr(process, "REAP_SECONDS", 0.05)
    monkeypatch.setattr(held, "STRANDED_SECONDS", 0.5)


@pytest.fixture
def garbled(store: Store, busy: None) -> list[str]:
    """Garbage of every kind, there before a worker starts; answers the jobs that come to nothing."""
    jobs = []
    for kind in WORK_KINDS:
        record = accept(store, make_work(kind))
        damage(store, kind.name, record.id)
        jobs.append(record.job_id)
    state = store.connections.state
    for queue in ("build", "query"):
        for number, text in enumerate([b"no JSON", b"[]", b"\xff\xfe"]):
            name = f"bad-{number}"
            state.hset(f"datainf-queue:{queue}.msgs", name, text)
            state.lpush(f"datainf-queue:{queue}", name)
            state.hset(f"datainf-queue:{queue}.DQ.msgs", name, text)
    state.zadd(keys.listing("index"), {b"\xff": 1})
    state.sadd(keys.open_jobs(), b"\xff")
    state.set(keys.worker("bad"), b"\xff", ex=100)
    state.zadd(keys.listing("worker"), {b"bad": 1, b"\xff": 2})
    store.jobs.create("job_torn", "query", "qry_torn", "/v1/queries/qry_torn")
    state.hset(keys.job("job_torn"), "record", "no JSON")
    return jobs


@pytest.mark.leaks
def test_a_worker_lives_and_answers_among_garbage_of_every_kind(
    garbled: list[str],
    worker: Runtime,
    checkpoint: Checkpoint,
    dataset: Dataset,
    finished: Any,
    answered: Any,
    wait_until: Callable[..., None],
) -> None:
    store = worker.store
    index = submit_index(store, checkpoint, dataset, storage="full")
    assert finished(store, index.job_id).state == "succeeded"
    answered(store, submit_query(store, index.id, examples=TEST))
    for job_id in garbled:
        assert finished(store, job_id).error["code"] == "record_damaged"
    wait_until(lambda: store.connections.state.hlen("datainf-queue:build.XQ.msgs") >= 3, "garbage is out of the way")
    store.workers.withdraw(worker.name)
    wait_until(lambda: [found["name"] for found in store.workers.alive()] == [worker.name], "housekeeping lives")
    damage(store, "index", index.id)
    wait_until(lambda: not worker.hot_indexes.bytes, "what cannot be read any more is forgotten")


def test_messages_that_a_consumer_had_fetched_beside_garbage_come_back(
    store: Store, busy: None, worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, answered: Any
) -> None:
    index = submit_index(store, checkpoint, dataset, storage="full")
    assert finished(store, index.job_id).state == "succeeded"
    queries = []
    for number in range(3):
        store.connections.state.hset("datainf-queue:query.msgs", f"bad-{number}", b"no JSON")
        store.connections.state.rpush("datainf-queue:query", f"bad-{number}")
        queries.append(submit_query(store, index.id, examples=TEST))
    for query in queries:
        answered(store, query)


def test_one_duty_that_fails_leaves_the_others(
    worker: Runtime, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    def refuse(_store: Store) -> None:
        raise StoreError("WRONGTYPE Operation against a key holding the wrong kind of value")

    monkeypatch.setattr(process, "resubmit_lost_work", refuse)
    monkeypatch.setattr(process, "ANNOUNCE_SECONDS", 0.05)
    monkeypatch.setattr(process, "REAP_SECONDS", 0.05)
    with capture_logs() as logs:
        worker.store.workers.withdraw(worker.name)
        wait_until(lambda: worker.store.workers.alive(), "it announces itself all the same")
        wait_until(lambda: any("WRONGTYPE" in entry.get("error", "") for entry in logs), "and says what is wrong")

"""Only deaths count against a piece of work; whoever leaves it alive takes its count back."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.answered import present
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, idle_runtime, running_worker, submit_index
from support.tiny import TinyCheckpoint

from influence.contracts.index import Index
from influence.contracts.work import INDEX
from influence.errors import BaseModelNotFound, WorkerDied
from influence.store import keys
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from influence.store.work import delete
from workers.building.attempts import MAX_ATTEMPTS, attempt, take_back_attempts
from workers.building.plan import plan_index
from workers.building.shard import compute_shard
from workers.process.actors import work_on
from workers.runtime.interrupts import ShutdownRequested
from workers.runtime.state import Runtime


@pytest.fixture
def idle(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Runtime]:
    with idle_runtime(server.url, tmp_path / "data", shard_seconds=1e-3, token_budget=64) as runtime:
        yield runtime


@pytest.fixture
def planned(idle: Runtime, store: Store, classifier: TinyCheckpoint) -> Index:
    """An index whose shards are planned and not begun."""
    checkpoint = add_checkpoint(store, idle.files, classifier, "sequence_classification")
    dataset = add_dataset(store, idle.files, make_ticket_rows(60), "classification")
    index = submit_index(store, checkpoint, dataset, storage="full")
    store.jobs.start(index.job_id)
    plan_index(idle, index)
    return store.indexes.require(index.id)


def count_of(store: Store, index: Index, shard: int = 0) -> int:
    return int(store.connections.state.hget(keys.job(index.job_id), f"attempts:{shard}") or 0)


def test_a_shard_survives_more_orderly_restarts_than_it_may_have_deaths(
    server: EmbeddedServer, store: Store, tmp_path: Path, planned: Index, finished: Any
) -> None:
    for _ in range(MAX_ATTEMPTS + 2):
        with idle_runtime(server.url, tmp_path / "data") as restarted:
            restarted.stopping.set()
            with pytest.raises(ShutdownRequested):
                compute_shard(restarted, planned, 0)
        assert count_of(store, planned) == 0
    with running_worker(server.url, tmp_path / "data"):
        assert finished(store, planned.job_id).state == "succeeded"


def test_a_shard_that_kills_its_workers_fails_the_build(
    server: EmbeddedServer, store: Store, tmp_path: Path, planned: Index, finished: Any
) -> None:
    for _ in range(MAX_ATTEMPTS):
        store.jobs.attempts.count(planned.job_id, 1)  # as one that was killed leaves it
    with running_worker(server.url, tmp_path / "data"):
        job = finished(store, planned.job_id)
    assert (job.state, job.error["code"]) == ("failed", "worker_died")
    assert "Shard 1 was begun 5 times" in job.error["detail"]


@pytest.mark.parametrize("garbled", [b"x1", b"", b"-3", b"\xff", "\uff11".encode(), b"9" * 19, b"9" * 40])
def test_a_count_that_is_no_number_fails_by_name_instead_of_being_tried_for_ever(
    store: Store, idle: Runtime, planned: Index, garbled: bytes
) -> None:
    store.connections.state.hset(keys.job(planned.job_id), "attempts:1", garbled)
    work_on(idle, INDEX, compute_shard, index_id=planned.id, job_id=planned.job_id, shard=1)
    job = store.jobs.require(planned.job_id)
    assert (job.state, present(job.error)["code"]) == ("failed", "record_damaged")
    assert "piece 1" in present(job.error)["detail"]


def test_deaths_stay_counted_through_orderly_ends(store: Store, idle: Runtime, planned: Index) -> None:
    for _ in range(MAX_ATTEMPTS - 1):
        store.jobs.attempts.count(planned.job_id, 0)
    idle.stopping.set()
    with pytest.raises(ShutdownRequested):
        compute_shard(idle, planned, 0)
    assert count_of(store, planned) == MAX_ATTEMPTS - 1
    store.jobs.attempts.count(planned.job_id, 0)
    with pytest.raises(WorkerDied):
        compute_shard(idle, planned, 0)


def test_what_is_refused_or_fails_is_no_death(store: Store, idle: Runtime, planned: Index, tmp_path: Path) -> None:
    checkpoint = store.checkpoints.require(planned.spec.checkpoint_id)
    gone = checkpoint.base_model.model_copy(update={"location": str(tmp_path / "gone")})
    store.checkpoints.update(checkpoint.id, lambda found: found.model_copy(update={"base_model": gone}))
    idle.models._hot.forget(lambda _key: True)
    with pytest.raises(BaseModelNotFound):
        compute_shard(idle, planned, 0)
    assert count_of(store, planned) == 0


def test_a_process_that_ends_before_its_piece_takes_the_count_back_once(
    store: Store, idle: Runtime, planned: Index, wait_until: Callable[..., None]
) -> None:
    store.jobs.attempts.count(planned.job_id, 0)  # an earlier death
    go = threading.Event()

    def load_for_long() -> None:
        with attempt(idle, planned.job_id, 0, "Shard 0"):
            go.wait()

    thread = threading.Thread(target=load_for_long)
    thread.start()
    try:
        wait_until(lambda: idle.attempts, "the piece is begun")
        assert count_of(store, planned) == 2
        take_back_attempts(idle)
        assert count_of(store, planned) == 1
    finally:
        go.set()
        thread.join()
    assert count_of(store, planned) == 1


def test_a_job_that_was_deleted_meanwhile_stays_deleted(store: Store, idle: Runtime, planned: Index) -> None:
    with attempt(idle, planned.job_id, 0, "Shard 0"):
        store.jobs.delete(planned.job_id)
    assert not store.connections.state.exists(keys.job(planned.job_id))


@pytest.mark.parametrize("is_deleted", [True, False])
def test_what_was_written_for_a_deleted_job_goes_before_the_process_does(
    store: Store, idle: Runtime, planned: Index, is_deleted: bool
) -> None:
    def write_and_stop(_runtime: Runtime, index: Index) -> None:
        if is_deleted:
            delete(store, index)
        store.index_data.write_parts(index.build, "basis", {"late": np.ones(3, np.float32)})
        raise ShutdownRequested

    with pytest.raises(InterruptedError):
        work_on(idle, INDEX, write_and_stop, index_id=planned.id, job_id=planned.job_id)
    left = list(store.connections.state.scan_iter(match=keys.build_pattern(planned.id)))
    assert bool(left) is not is_deleted

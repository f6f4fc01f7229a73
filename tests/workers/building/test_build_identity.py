"""Two builds of one index never mix: what the first one left, asked for or still writes is never the second's."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, idle_runtime, running_worker, submit_index
from support.tiny import TinyCheckpoint

from influence.contracts.index import Index
from influence.contracts.work import INDEX
from influence.errors import Cancelled
from influence.store import keys
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from influence.store.work import cancel, delete, fail, send
from workers.building.plan import plan_index
from workers.building.shard import compute_shard
from workers.process.actors import work_on
from workers.runtime.state import Runtime

ROWS = make_ticket_rows(100)
PROBLEM = {"code": "worker_died", "status": 500, "detail": "It ended."}

Submit = Callable[[], Index]


@pytest.fixture
def idle(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Runtime]:
    """Plans small shards; takes no messages."""
    with idle_runtime(server.url, tmp_path / "data", shard_seconds=1e-3) as runtime:
        yield runtime


@pytest.fixture
def submit(idle: Runtime, store: Store, classifier: TinyCheckpoint, storage: str) -> Submit:
    checkpoint = add_checkpoint(store, idle.files, classifier, "sequence_classification")
    dataset = add_dataset(store, idle.files, ROWS, "classification")
    return lambda: submit_index(store, checkpoint, dataset, storage=storage)


def plan(runtime: Runtime, index: Index) -> Index:
    """Plan a build whose first message is gone; those of its shards wait."""
    state = runtime.store.connections.state
    state.delete(*state.scan_iter(match=f"{keys.QUEUE_NAMESPACE}*"))
    runtime.store.jobs.start(index.job_id)
    plan_index(runtime, index)
    return runtime.store.indexes.require(index.id)


def finish(runtime: Runtime, url: str, index: Index, finished: Any) -> Index:
    """The index once another worker has taken all messages."""
    with running_worker(url, runtime.files.root):
        job = finished(runtime.store, index.job_id)
    assert job.state == "succeeded", job.error
    return runtime.store.indexes.require(index.id)


def end(store: Store, index: Index, how: str) -> None:
    if how == "cancel":
        cancel(store, index.job_id)
    elif how == "delete":
        delete(store, index)
    else:
        fail(store, index, PROBLEM)


def keys_of(store: Store, build: str) -> list[bytes]:
    return list(store.connections.state.scan_iter(match=keys.build_pattern(build)))


both = pytest.mark.parametrize("storage", ["full", "compact"])
every_end = pytest.mark.parametrize("how", ["cancel", "delete", "fail"])


@both
@every_end
def test_messages_of_a_build_that_ended_commit_nothing_into_the_next(
    server: EmbeddedServer, store: Store, idle: Runtime, submit: Submit, finished: Any, how: str
) -> None:
    first = plan(idle, submit())
    assert first.shards > 1
    end(store, first, how)
    second = submit()
    assert (second.id, second.shards) == (first.id, 0)
    built = finish(idle, server.url, second, finished)
    assert built.rows_indexed == len(ROWS)
    commits = store.index_data.commits(built.build)
    assert sorted(commits) == list(range(built.shards))
    assert all(commit.rows for commit in commits.values())


@both
@every_end
def test_a_failed_attempt_leaves_nothing_to_the_next(
    server: EmbeddedServer, store: Store, idle: Runtime, submit: Submit, finished: Any, how: str
) -> None:
    first = plan(idle, submit())
    compute_shard(idle, first, 0)
    assert keys_of(store, first.build)
    end(store, first, how)
    assert keys_of(store, first.build) == []
    built = finish(idle, server.url, submit(), finished)
    assert {key for key in keys_of(store, built.id) if built.build.encode() not in key} == set()


@both
def test_a_shard_that_ends_after_its_build_does_not_touch_the_next(
    server: EmbeddedServer, store: Store, idle: Runtime, submit: Submit, finished: Any
) -> None:
    first = plan(idle, submit())
    built: list[Index] = []

    def delete_and_build_meanwhile(runtime: Runtime, index: Index, shard: int) -> None:
        delete(store, index)
        built.append(finish(idle, server.url, submit(), finished))
        store.index_data.write_rows(index.build, shard, "norms", np.ones((3, 2), np.float32))
        raise Cancelled("as the next look at the job would say")

    work_on(idle, INDEX, delete_and_build_meanwhile, index_id=first.id, job_id=first.job_id, shard=0)
    assert keys_of(store, first.build) == []
    assert store.indexes.require(first.id) == built[0]
    assert store.index_data.count_commits(built[0].build) == built[0].shards


@pytest.mark.parametrize("storage", ["full"])
def test_a_failure_that_comes_late_does_not_fail_the_next_build(store: Store, idle: Runtime, submit: Submit) -> None:
    first = submit()
    delete(store, first)
    second = submit()
    fail(store, first, PROBLEM)
    assert store.indexes.require(first.id) == second
    assert store.jobs.state(second.job_id) == "queued"


@pytest.mark.parametrize("storage", ["full"])
def test_what_a_killed_worker_left_goes_when_the_index_is_planned(store: Store, idle: Runtime, submit: Submit) -> None:
    first = submit()
    delete(store, first)
    store.index_data.write_rows(first.build, 0, "norms", np.ones((3, 2), np.float32))
    plan(idle, submit())
    assert keys_of(store, first.build) == []


@pytest.mark.parametrize("storage", ["full"])
def test_nothing_is_committed_without_a_plan(store: Store, idle: Runtime, submit: Submit) -> None:
    index = submit()
    store.jobs.start(index.job_id)
    send(store, index, "compute_shard", shard=0)
    compute_shard(idle, index, 0)
    assert keys_of(store, index.build) == []

"""A server at its memory limit pauses a build; nothing is lost, nothing half written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index
from support.tiny import TinyCheckpoint

from influence.contracts.index import ShardCommit
from influence.store.connections import Connections, connect, is_full
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.runtime.state import Runtime


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of this test's own, for its limit is moved."""
    embedded = EmbeddedServer(tmp_path / "small")
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture
def small(small_server: EmbeddedServer) -> Iterator[Connections]:
    made = connect(small_server.url)
    yield made
    made.close()


def test_a_full_server_pauses_the_build_and_room_lets_it_go_on(
    small_server: EmbeddedServer,
    small: Connections,
    tmp_path: Path,
    classifier: TinyCheckpoint,
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Callable[..., None],
) -> None:
    store = Store(small)
    with running_worker(small_server.url, tmp_path / "data", shard_seconds=1e-3, token_budget=64) as worker:
        checkpoint = add_checkpoint(store, worker.files, classifier, "sequence_classification")
        dataset = add_dataset(store, worker.files, make_ticket_rows(600), "classification")
        fill_after_a_shard(worker, small, monkeypatch)
        index = submit_index(store, checkpoint, dataset, storage="compact")
        wait_until(lambda: note_of(store, index.job_id) == "store_full", "the job says that it is paused")
        assert is_full(small.state)
        small.state.config_set("maxmemory", 0)
        wait_until(lambda: store.jobs.require(index.job_id).is_final, "the build is done")
    assert store.jobs.require(index.job_id).state == "succeeded"
    assert store.indexes.require(index.id).rows_indexed == 600


def fill_after_a_shard(worker: Runtime, small: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server be full from the first commit on: a build that goes on is over before anybody sees one."""
    commit = worker.store.index_data.commit

    def fill(build: str, made: ShardCommit) -> bool:
        is_new = commit(build, made)
        if made.shard == 0:
            small.state.config_set("maxmemory", 1)
        return is_new

    monkeypatch.setattr(worker.store.index_data, "commit", fill)


def note_of(store: Store, job_id: str) -> Any:
    return (store.jobs.require(job_id).progress.note or {}).get("code")

"""A build that a full server holds up says so, also where only a large value finds no room."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.service import idle_runtime
from support.work import make_work

from influence.contracts.work import INDEX
from influence.store.embedded import EmbeddedServer
from influence.store.jobs.progress import FULL
from influence.store.work import keep
from workers.building import wait_for_memory
from workers.building.wait_for_memory import retry_while_full
from workers.runtime.state import Runtime

_MIB = 1 << 20


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """Over a server with room for records and not for a large value."""
    server = EmbeddedServer(tmp_path / "small")
    server.start()
    with idle_runtime(server.url, tmp_path / "data") as made:
        state = made.store.connections.state
        state.config_set("maxmemory", int(state.info("memory")["used_memory"]) + 2 * _MIB)
        yield made
    server.stop()


def test_a_pause_is_shown_while_it_lasts(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait_for_memory, "RETRY_SECONDS", 0.01)
    index = keep(runtime.store, make_work(INDEX))
    runtime.store.jobs.start(index.job_id)
    state, notes = runtime.store.connections.state, []

    def write() -> bool:
        notes.append(runtime.store.jobs.require(index.job_id).progress.note)
        if len(notes) == 3:
            state.config_set("maxmemory", 0)
        return bool(state.set("datainf:large", bytes(4 * _MIB)))

    assert retry_while_full(runtime, index.job_id, write)
    assert notes == [None, FULL, FULL]
    assert runtime.store.jobs.require(index.job_id).progress.note is None
    assert [job.progress.note for job in runtime.store.jobs.page(limit=5).data] == [None]

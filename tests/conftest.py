"""Fixtures for everyone: a real Redis-protocol server for the whole run, a clean store for each test."""

import os
import time
from collections.abc import Callable, Iterator

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Threads of torch and numpy cost tiny models four times the work, and a busy machine more. Read when numpy is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from influence.store.connections import Connections, connect
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

#: How long a test waits for anything at most: only what hangs takes so long, however busy the machine.
HANG_SECONDS = 300.0


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The server that the product itself would start."""
    embedded = EmbeddedServer(tmp_path_factory.mktemp("redis"))
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture
def connections(server: EmbeddedServer) -> Iterator[Connections]:
    """Clients of an empty server."""
    made = connect(server.url)
    made.state.flushall()
    yield made
    made.close()


@pytest.fixture
def store(connections: Connections) -> Store:
    """An empty store."""
    return Store(connections)


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Wait for a condition instead of sleeping; fails with what was waited for."""

    def wait(condition: Callable[[], object], what: str, timeout_seconds: float = HANG_SECONDS) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {timeout_seconds} s in vain until {what}")
            time.sleep(0.01)

    return wait

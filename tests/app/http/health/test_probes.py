"""Probes answer at once, whatever the Redis server does."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.api import LocalClient
from support.problems import assert_problem

from app.main import create_app
from app.settings import ApiSettings
from influence.store.connections import Deadlines, connect
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

#: A probe may take a second; a busy machine gets much more. A call that hangs takes longer still.
BOUND_SECONDS = 60.0
#: So many requests wait for the server that no thread of theirs is left.
WAITING = 60


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that no other test talks to."""
    embedded = EmbeddedServer(tmp_path / "redis")
    embedded.start()
    yield embedded
    os.kill(embedded.process.pid, signal.SIGCONT)
    embedded.stop()


def test_probes_answer_while_the_server_hangs_and_requests_wait_for_it(
    own_server: EmbeddedServer, tmp_path: Path
) -> None:
    patience = Deadlines(connect_seconds=300.0, answer_seconds=300.0, retries=0)
    files = Files(tmp_path / "data")
    with closing(connect(own_server.url, deadlines=patience)) as connections:
        app = create_app(ApiSettings(data_dir=files.root), store=Store(connections), files=files)
        with LocalClient(app) as client:
            assert client.get("/health/ready").status_code == 200
            os.kill(own_server.process.pid, signal.SIGSTOP)
            answers: list[int] = []
            callers = [
                threading.Thread(target=lambda: answers.append(client.get("/v1/jobs").status_code))
                for _ in range(WAITING)
            ]
            for caller in callers:
                caller.start()
            for path, status in (("/health/ready", 503), ("/health/live", 200)) * 2:
                started = time.monotonic()
                assert client.get(path).status_code == status
                assert time.monotonic() - started < BOUND_SECONDS
            assert 200 not in answers
            os.kill(own_server.process.pid, signal.SIGCONT)
            for caller in callers:
                caller.join()
            assert client.get("/health/ready").status_code == 200


def test_a_caller_is_told_that_the_server_does_not_answer(own_server: EmbeddedServer, tmp_path: Path) -> None:
    files = Files(tmp_path / "data")
    with closing(connect(own_server.url, deadlines=Deadlines(0.2, 0.2, 0))) as connections:
        app = create_app(ApiSettings(data_dir=files.root), store=Store(connections), files=files)
        with LocalClient(app) as client:
            os.kill(own_server.process.pid, signal.SIGSTOP)
            assert_problem(client.get("/v1/jobs"), 503, "store_unavailable")

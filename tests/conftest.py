"""Fixtures for everyone: a real Redis-protocol server for the whole run, a clean store for each test."""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Threads of torch and numpy cost tiny models four times the work, and a busy machine more. Read when numpy is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from support.trials.leaks import Kept

from influence.store.connections import Connections, connect
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

# What is loaded to collect the tests stays to the end: a fifth of that time went into looking for garbage in it.
gc.disable()

#: How long a test waits for anything at most: only what hangs takes so long, however busy the machine.
HANG_SECONDS = 300.0
#: How long the server may take to notice that a connection was closed, on a busy machine.
CLOSING_SECONDS = 20.0

TESTS = Path(__file__).parent
#: Folders and files whose tests train models, start processes, send what is large or many, or load what takes a second
#: or more to load: torch, scipy's statistics, pandas.
SLOW_PLACES = (
    "app/checkpoints/test_checkpoint_routes.py",
    "app/checkpoints/test_plain_checkpoint_routes.py",
    "app/http/health/test_copies.py",
    "app/http/health/test_probes.py",
    "app/http/health/test_traces.py",
    "app/http/test_process.py",
    "app/intake/images/test_hostile_images.py",
    "app/intake/test_adapter_intake.py",
    "app/intake/test_full_disk.py",
    "app/intake/tables/test_table_limits.py",
    "cli/samples",
    "cli/test_audit_command.py",
    "cli/test_curation_commands.py",
    "cli/test_serve.py",
    "cli/test_supervisor.py",
    "client/test_client_cleaning.py",
    "client/test_client_docs.py",
    "client/test_client_package.py",
    "client/test_client_rows.py",
    "client/test_client_story.py",
    "docker/test_redis_configuration.py",
    "end_to_end",
    "influence/auditing/test_group_figures.py",
    "influence/auditing/test_levels.py",
    "influence/auditing/test_removal.py",
    "influence/checkpoint_files/test_adapter_tokenizers.py",
    "influence/evaluating/test_agreement.py",
    "influence/evaluating/test_dampings.py",
    "influence/evaluating/test_datamodel.py",
    "influence/store/test_embedded.py",
    "influence/store/test_lives.py",
    "influence/store/vault/test_object_store.py",
    "page",
    "workers/evaluating",
    "workers/process",
    "workers/training",
)
#: Where files take longest: they start first, so that no process is left alone with one at the end.
LONGEST_FIRST = ("end_to_end", "page", "workers/evaluating", "tasks", "workers", "curation", "app/http/test_process.py")
#: What shares no service with the other tests of the page.
OF_THEIR_OWN = ("tests/page/test_sample_set.py",)
#: Here the store is asked for by itself; elsewhere whoever asks for it has a worker at work on it.
STORE_ALONE = ("app", "cli", "client", "influence")
#: Tests of single parts of the store write what belongs to no record.
RAW_PLACES = ("influence/store",)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: tests wait for what they started, for a tenth of their time and more."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files go to processes whole, and those of the page to one: the service and the browser that they share take as
    long to start as most of them."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return str(Path(file).parent) if "/page/" in file and file not in OF_THEIR_OWN else file

    return Together(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whoever asks for the quick tests alone waits for no import of a slow place."""
    if config.option.markexpr == "not slow" and _is_slow_place(collection_path):
        return True
    return None


@cache
def _is_slow_place(path: Path) -> bool:
    return path.is_relative_to(TESTS) and any(path.relative_to(TESTS).is_relative_to(slow) for slow in SLOW_PLACES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow by where it stands and what it asks for, so no test need say so; the longest go first."""
    for item in items:
        place = item.path.relative_to(TESTS)
        fixtures = getattr(item, "fixturenames", ())
        has_a_worker = place.parts[0] not in STORE_ALONE and "server" in fixtures
        # Not by its marker: hypothesis gives that when this is done.
        tries_many_examples = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if _is_slow_place(item.path) or has_a_worker or tries_many_examples or "torch" in fixtures:
            item.add_marker("slow")
    items.sort(key=lambda item: _starts_after(item.path.relative_to(TESTS)))


def pytest_collection_finish() -> None:
    """From here on garbage is looked for among what tests make."""
    gc.freeze()
    gc.enable()


def _starts_after(place: Path) -> int:
    return next((rank for rank, first in enumerate(LONGEST_FIRST) if place.is_relative_to(first)), len(LONGEST_FIRST))


# As processes log: what a command prints is read as JSON while services beside it have something to say.
structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))

# A busy machine takes its time over an example.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The server that the product itself would start."""
    embedded = EmbeddedServer(tmp_path_factory.mktemp("redis"))
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture(scope="session")
def watch(server: EmbeddedServer) -> Iterator[Connections]:
    """Looks at the server beside the tests."""
    made = connect(server.url)
    yield made
    made.close()


@pytest.fixture
def connections(server: EmbeddedServer, watch: Connections) -> Iterator[Connections]:
    """Clients of an empty server.

    Whatever a test connects to it is closed when the test ends: the collector of garbage closes what is left with a
    warning, in the middle of another test.
    """
    others = _clients(watch)
    made = connect(server.url)
    made.state.flushall()
    yield made
    made.close()
    patience_ends = time.monotonic() + CLOSING_SECONDS
    while (left := _clients(watch) - others) and time.monotonic() < patience_ends:
        time.sleep(0.002)  # the server hears of it when it is its turn
    assert not left, f"{len(left)} connections that nobody closed"


def _clients(watch: Connections) -> set[str]:
    """Who is connected to the server but the one who asks."""
    return {client["id"] for client in watch.state.client_list()} - {str(watch.state.client_id())}


@pytest.fixture
def store(connections: Connections) -> Store:
    """An empty store."""
    return Store(connections)


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves in the store ends by itself or belongs to something that can be deleted."""
    place = request.path.relative_to(TESTS)
    if "store" not in request.fixturenames or any(place.is_relative_to(raw) for raw in RAW_PLACES):
        yield
        return
    store = request.getfixturevalue("store")
    yield
    if request.node.get_closest_marker("leaks") is None:
        assert Kept(store).leaks() == []


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Wait for a condition instead of sleeping; fails with what was waited for.

    Looks ever more rarely: whoever asks a service a hundred times a second takes its time away from it.
    """

    def wait(condition: Callable[[], object], what: str, timeout_seconds: float = HANG_SECONDS) -> None:
        started = time.monotonic()
        while not condition():
            waited = time.monotonic() - started
            if waited > timeout_seconds:
                pytest.fail(f"waited {timeout_seconds} s in vain until {what}")
            time.sleep(min(max(0.1 * waited, 0.002), 0.25))

    return wait

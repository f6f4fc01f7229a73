"""A service with a worker, and a tiny checkpoint to ask it about."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tiny import TinyCheckpoint, make_classifier
from support.trials.bench import Bench, open_bench

from influence.store.embedded import EmbeddedServer
from influence.store.store import Store


@pytest.fixture
def bench(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(server.url, store, tmp_path) as opened:
        yield opened


@pytest.fixture
def tiny(tmp_path: Path) -> TinyCheckpoint:
    return make_classifier(tmp_path / "tiny")

"""Every task over HTTP: the API and a worker in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.trials.bench import Bench, open_bench

from influence.store.embedded import EmbeddedServer
from influence.store.store import Store


@pytest.fixture
def bench(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(server.url, store, tmp_path) as opened:
        yield opened

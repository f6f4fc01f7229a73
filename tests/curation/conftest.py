"""A tiny classifier over rows of two sources, one of them labelled wrong; the API and a worker in this process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.stories.curation import EVALUATION, ROWS
from support.tiny import LABELS, make_classifier
from support.trials.bench import Bench, open_bench

from influence.store.embedded import EmbeddedServer
from influence.store.store import Store


@pytest.fixture
def bench(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(server.url, store, tmp_path) as opened:
        yield opened


@pytest.fixture
def index(bench: Bench, tmp_path: Path) -> dict[str, Any]:
    """A ready index of ROWS."""
    checkpoint = bench.checkpoint(make_classifier(tmp_path / "tiny"), label_names=str(list(LABELS)).replace("'", '"'))
    return bench.index(checkpoint, bench.dataset(ROWS))


@pytest.fixture
def evaluation(bench: Bench) -> dict[str, Any]:
    """What requests name as trusted rows."""
    return {"dataset_id": bench.dataset(EVALUATION)["id"]}

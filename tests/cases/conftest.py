"""The service as a user meets it, free to read the cases and what a test makes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.uploads.cases import CASES
from support.uploads.local_service import LocalService, local_service

from influence.store.embedded import EmbeddedServer
from influence.store.store import Store


@pytest.fixture
def service(
    server: EmbeddedServer, store: Store, tmp_path: Path, wait_until: Callable[..., None]
) -> Iterator[LocalService]:
    with local_service(server.url, store, tmp_path / "data", wait_until, [CASES, tmp_path]) as running:
        yield running

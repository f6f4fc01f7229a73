"""Every task over HTTP: the API and a worker in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.api import LocalClient
from support.service import running_worker
from support.trials.bench import Bench

from app.main import create_app
from app.settings import ApiSettings
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store


@pytest.fixture
def bench(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Bench]:
    files = Files(tmp_path / "data")
    settings = ApiSettings(
        redis_url=server.url, data_dir=files.root, allowed_roots=(tmp_path,), hub_offline=True, max_wait_seconds=100
    )
    with (
        running_worker(server.url, files.root),
        LocalClient(create_app(settings, store=store, files=files)) as client,
    ):
        yield Bench(client, store)

"""The real application on a socket, and the Python client that speaks to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes.listening import listening

from app.main import create_app
from app.settings import ApiSettings
from datainf_client import Client
from influence.store.data.files import Files
from influence.store.store import Store


@pytest.fixture
def url(store: Store, tmp_path: Path) -> Iterator[str]:
    """Where the application listens."""
    files = Files(tmp_path / "data")
    settings = ApiSettings(
        redis_url=store.connections.state_url, data_dir=files.root, allowed_roots=(tmp_path,), hub_offline=True
    )
    with listening(create_app(settings, store=store, files=files)) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as made:
        yield made

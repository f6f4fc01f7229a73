"""The application over a real store, and records as requests and workers would make them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.api import LocalClient

from app.main import create_app
from app.settings import ApiSettings
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.store import keys
from influence.store.data.files import Files
from influence.store.store import Store

LABELS = ("billing", "access", "delivery")
ROWS = "".join(f'{{"text": "ticket {number}", "label": "{LABELS[number % 3]}"}}\n' for number in range(12))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "data")


@pytest.fixture
def make_client(store: Store, files: Files) -> Iterator[Callable[..., TestClient]]:
    """Clients of applications with the settings given."""
    with ExitStack() as stack:

        def make(**settings: Any) -> TestClient:
            chosen = ApiSettings(redis_url=store.connections.state_url, data_dir=files.root, **settings)
            app = create_app(chosen, store=store, files=files)
            return stack.enter_context(LocalClient(app))

        yield make


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    return make_client()


@pytest.fixture
def checkpoint(store: Store) -> Checkpoint:
    """A classifier of three named classes with 1000 parameters."""
    made = Checkpoint(
        id="ckpt_1",
        base_model=BaseModelRef(name="tiny", kind="hub", location="tiny"),
        adapter={},
        tensors=4,
        task="sequence_classification",
        adapter_digest="a1",
        label_names=LABELS,
        num_labels=3,
        parameters=1000,
        created_at=now(),
    )
    store.checkpoints.create(made)
    return made


@pytest.fixture
def dataset_id(client: TestClient) -> str:
    """Twelve labelled rows, sent as a file."""
    return str(client.post("/v1/datasets", files={"file": ("rows.jsonl", ROWS)}).json()["id"])


@pytest.fixture
def index(client: TestClient, checkpoint: Checkpoint, dataset_id: str) -> dict[str, Any]:
    """An index whose build is queued."""
    answer = client.post("/v1/indexes", json={"checkpoint_id": checkpoint.id, "dataset_id": dataset_id})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


@pytest.fixture
def ready_index(index: dict[str, Any], store: Store) -> dict[str, Any]:
    """The index once a worker has built it."""
    store.indexes.update(index["id"], lambda found: found.model_copy(update={"state": "succeeded", "rows_indexed": 12}))
    store.jobs.succeed(index["job_id"])
    return index


@pytest.fixture
def worker(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has announced itself, and counts as running for longer than a test takes on a busy machine."""
    monkeypatch.setattr(keys, "WORKER_SECONDS", 3600)
    store.workers.announce("w1", {"name": "w1"})

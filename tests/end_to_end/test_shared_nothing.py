"""API processes and workers on data directories of their own, over an S3 server and Redis alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.api import LocalClient
from support.processes.object_store import Bucket, opened_bucket
from support.rows import make_ticket_rows
from support.service import running_worker
from support.tiny import LABELS, TinyCheckpoint
from support.uploads.local_service import LocalService, local_service, taken

from app.main import app_from
from app.settings import ApiSettings
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.runtime.state import Runtime

EXAMPLE = {"text": "my parcel is late", "label": "delivery"}


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with opened_bucket() as opened:
        yield opened


@pytest.fixture
def worker(server: EmbeddedServer, store: Store, bucket: Bucket, tmp_path: Path) -> Iterator[Runtime]:
    with running_worker(server.url, tmp_path / "worker", files_url=bucket.url) as runtime:
        yield runtime


@pytest.fixture
def make_api(
    server: EmbeddedServer, bucket: Bucket, tmp_path: Path, tiny: TinyCheckpoint
) -> Callable[[str], LocalClient]:
    """An API on a machine of its own, by the machine's name."""

    def make(name: str) -> LocalClient:
        settings = ApiSettings(
            redis_url=server.url,
            data_dir=tmp_path / name,
            files_url=bucket.url,
            allowed_roots=[tiny.base.parent],
            hub_offline=True,
        )
        return LocalClient(app_from(settings))

    return make


def answer(service: LocalService, tiny: TinyCheckpoint) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A data set, an index of it, and the influence of its rows on one example."""
    dataset = service.dataset(make_ticket_rows(24, seed=0))
    checkpoint = service.checkpoint(tiny.base, tiny.adapter, label_names=list(LABELS))
    index = service.index(checkpoint, dataset, storage="full", max_length=64)
    return dataset, checkpoint, {**index, "scores": service.scores(index, EXAMPLE)}


def test_what_one_machine_takes_others_work_on_and_what_is_deleted_is_gone_everywhere(
    worker: Runtime,
    make_api: Callable[[str], LocalClient],
    bucket: Bucket,
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    tiny: TinyCheckpoint,
    wait_until: Callable[..., None],
) -> None:
    with make_api("first") as client, make_api("second") as other:
        dataset, checkpoint, index = answer(LocalService(client, worker, wait_until), tiny)
        kept = names(tmp_path / "worker" / "datasets") + names(tmp_path / "worker" / "adapters")
        assert kept == names(tmp_path / "first" / "datasets") + names(tmp_path / "first" / "adapters")
        page = taken(other.get(f"/v1/datasets/{dataset['id']}/rows", params={"q": "parcel"}))
        assert page["data"]
        for path in (f"indexes/{index['id']}", f"datasets/{dataset['id']}", f"checkpoints/{checkpoint['id']}"):
            assert other.delete(f"/v1/{path}").status_code == 204
        assert bucket.paths() == []
        assert names(tmp_path / "second" / "datasets") == names(tmp_path / "second" / "adapters") == []
        assert client.get(f"/v1/datasets/{dataset['id']}").status_code == 404
    with local_service(server.url, store, tmp_path / "alone", wait_until, [tiny.base.parent]) as alone:
        loss, influence = answer(alone, tiny)[2]["scores"]
    assert loss == pytest.approx(index["scores"][0], rel=1e-5)
    assert influence == pytest.approx(index["scores"][1], rel=1e-4, abs=1e-6)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())

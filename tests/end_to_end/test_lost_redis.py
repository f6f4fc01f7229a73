"""A Redis that is lost whole: `datainf recover` brings back what the files know, and with it the same answers."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.api import LocalClient
from support.processes.object_store import PLACES, Bucket
from support.rows import make_ticket_rows
from support.service import running_worker
from support.tiny import LABELS, TinyCheckpoint
from support.uploads.local_service import LocalService, taken
from typer.testing import CliRunner, Result

from app.main import app_from
from app.settings import ApiSettings
from cli.main import app
from influence.store.embedded import EmbeddedServer
from influence.store.recovery.copying import copy_decisions
from influence.store.store import Store

EXAMPLE = {"text": "my parcel is late", "label": "delivery"}


@pytest.fixture(params=PLACES)
def bucket(request: pytest.FixtureRequest) -> Iterator[Bucket | None]:
    with PLACES[request.param]() as place:
        yield place


class House:
    """One service after another: over the same folder, or on machines of their own that share a bucket."""

    def __init__(
        self,
        server: EmbeddedServer,
        folder: Path,
        bucket: Bucket | None,
        wait_until: Callable[..., None],
        tiny: TinyCheckpoint,
    ) -> None:
        self._server, self._folder, self._bucket, self._wait_until = server, folder, bucket, wait_until
        self._root = tiny.base.parent

    @contextmanager
    def open(self, machine: str) -> Iterator[LocalService]:
        settings: dict[str, Any] = {"data_dir": self._folder / ("data" if self._bucket is None else machine)}
        if self._bucket is not None:
            settings["files_url"] = self._bucket.url
        url = self._server.url
        with running_worker(url, **settings, shard_seconds=1e-3) as runtime:
            application = app_from(ApiSettings(redis_url=url, **settings, allowed_roots=[self._root], hub_offline=True))
            with LocalClient(application) as client:
                yield LocalService(client, runtime, self._wait_until)

    def recover(self, machine: str) -> Result:
        environment = {
            "DATAINF_REDIS_URL": self._server.url,
            "DATAINF_DATA_DIR": str(self._folder / ("data" if self._bucket is None else machine)),
            "DATAINF_ALLOWED_ROOTS": json.dumps([str(self._root)]),
        }
        if self._bucket is not None:
            environment["DATAINF_FILES_URL"] = self._bucket.url
        return CliRunner().invoke(app, ["recover", "--json"], env=environment)


@pytest.fixture
def house(
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    bucket: Bucket | None,
    wait_until: Callable[..., None],
    tiny: TinyCheckpoint,
) -> House:
    return House(server, tmp_path, bucket, wait_until, tiny)


def test_the_same_question_has_the_same_answer_once_a_lost_redis_was_recovered(
    house: House, store: Store, tiny: TinyCheckpoint
) -> None:
    with house.open("first") as service:
        dataset = service.dataset(make_ticket_rows(40, seed=0), name="tickets")
        checkpoint = service.checkpoint(tiny.base, tiny.adapter, label_names=list(LABELS))
        index = service.index(checkpoint, dataset, storage="compact", max_length=64)
        full = service.index(checkpoint, dataset, storage="full", max_length=64)
        before = service.scores(index, EXAMPLE, exact=False)
        review = taken(service.client.post("/v1/reviews", json={"dataset_id": dataset["id"]}))
        decisions = {"decisions": [{"row_index": 3, "action": "remove"}], "by": "ann"}
        taken(service.client.patch(f"/v1/reviews/{review['id']}/decisions", json=decisions))
        assert copy_decisions(service.runtime.store) == 1
        decided = taken(service.client.get(f"/v1/reviews/{review['id']}/decisions"))
    store.connections.state.flushall()

    done = house.recover("second")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {(one["kind"], one["id"]): one["state"] for one in found["data"]} == {
        ("dataset", dataset["id"]): "recovered",
        ("checkpoint", checkpoint["id"]): "recovered",
        ("index", index["id"]): "recovered",
        ("review", review["id"]): "recovered",
        ("decisions", review["id"]): "recovered",
    }
    assert any("full storage" in line for line in found["not_recovered"])

    with house.open("third") as service:
        assert service.scores(index, EXAMPLE, exact=False) == before
        assert taken(service.client.get(f"/v1/datasets/{dataset['id']}")) == dataset
        assert taken(service.client.get(f"/v1/checkpoints/{checkpoint['id']}")) == checkpoint
        assert taken(service.client.get(f"/v1/indexes/{index['id']}")) == index
        assert service.client.get(f"/v1/indexes/{full['id']}").status_code == 404
        assert taken(service.client.get(f"/v1/reviews/{review['id']}/decisions")) == decided
        undone = taken(service.client.post(f"/v1/reviews/{review['id']}/undo", json={"by": "ann"}))
        assert undone["applied"] == 1
        again = json.loads(house.recover("second").stdout)
        assert {one["state"] for one in again["data"]} == {"there"}
        for path in (f"reviews/{review['id']}", f"indexes/{index['id']}", f"datasets/{dataset['id']}"):
            assert service.client.delete(f"/v1/{path}").status_code == 204
    store.connections.state.flushall()
    left = json.loads(house.recover("second").stdout)
    assert [one["kind"] for one in left["data"]] == ["checkpoint"]  # what was deleted stays deleted
    store.connections.state.flushall()

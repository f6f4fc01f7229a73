"""Deleting is complete: once everything is deleted over HTTP, nothing in Redis quotes a row or is made of one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.api import LocalClient
from support.evaluations import Squares
from support.problems import assert_problem
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index
from support.tiny import TinyCheckpoint

from app.main import create_app
from app.settings import ApiSettings
from influence.contracts.checkpoint import Checkpoint
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.runtime.state import Runtime

#: In every row's text and id, and nowhere else.
MARK = "quagga"
#: What may be left: jobs tell how they ended, answers to idempotency keys and workers' signs of life end by themselves,
#: and when they do; counts of kinds and codes name nothing, and moments of looks for what nobody keeps name ids alone.
_HARMLESS = (
    "datainf:counters",
    "datainf:job",
    "datainf:idempotency:",
    "datainf:worker",
    "datainf:lifetimes",
    "datainf:orphans",
    "datainf-queue:",
)


@pytest.fixture
def worker(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Runtime]:
    kind = Squares()
    kind.go.set()
    with running_worker(server.url, tmp_path / "data", kinds={"lds": kind}) as runtime:
        yield runtime


@pytest.fixture
def client(store: Store, worker: Runtime) -> Iterator[TestClient]:
    settings = ApiSettings(redis_url=store.connections.state_url, data_dir=worker.files.root)
    with LocalClient(create_app(settings, store=store, files=worker.files)) as found:
        yield found


@pytest.fixture
def checkpoint(worker: Runtime, store: Store, tiny: TinyCheckpoint) -> Checkpoint:
    return add_checkpoint(store, worker.files, tiny, "sequence_classification")


def marked_rows(count: int, seed: int) -> list[dict[str, Any]]:
    rows = make_ticket_rows(count, seed=seed)
    return [{**row, "id": f"{MARK}-{row['id']}", "text": f"{row['text']} {MARK}"} for row in rows]


def send_rows(client: TestClient, count: int, seed: int) -> str:
    lines = "\n".join(json.dumps(row) for row in marked_rows(count, seed))
    return str(client.post("/v1/datasets", files={"file": ("rows.jsonl", lines)}).json()["id"])


@pytest.fixture
def ask(client: TestClient, finished: Callable[..., Any], store: Store) -> Callable[..., str]:
    """POST something and wait for its job; answers its id."""

    def submit(path: str, **body: Any) -> str:
        made = client.post(path, json=body)
        assert made.status_code in (200, 202), made.text
        assert finished(store, made.json()["job_id"]).state == "succeeded", made.text
        return str(made.json()["id"])

    return submit


@pytest.fixture
def finished(wait_until: Callable[..., None]) -> Callable[..., Any]:
    def wait(store: Store, job_id: str) -> Any:
        wait_until(lambda: store.jobs.require(job_id).is_final, f"{job_id} is final")
        return store.jobs.require(job_id)

    return wait


def read_value(store: Store, name: bytes) -> bytes:
    """Everything that a key holds: nothing where it ended since it was listed, as keys of the queue do all the time."""
    state = store.connections.state
    kind: Any = state.type(name)
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"none": lambda key: b"",
        b"string": state.get,
        b"hash": state.hgetall,
        b"set": state.smembers,
        b"list": lambda key: state.lrange(key, 0, -1),
        b"zset": lambda key: state.zrange(key, 0, -1),
    }
    return name + repr(read[kind](name)).encode()


def quoting(store: Store) -> list[bytes]:
    return [name for name in store.connections.state.scan_iter() if MARK.encode() in read_value(store, name)]


def delete_all(client: TestClient, *paths: str) -> None:
    for path in paths:
        assert client.delete(path).status_code == 204, path


def deletable(client: TestClient) -> set[str]:
    """Collections whose resources can be deleted; a DELETE of a job cancels it."""
    paths = client.get("/openapi.json").json()["paths"]
    return {path.split("/")[2] for path, calls in paths.items() if "delete" in calls} - {"jobs"}


def test_nothing_quotes_a_row_once_everything_is_deleted(
    client: TestClient, store: Store, worker: Runtime, checkpoint: Checkpoint, ask: Callable[..., str], finished: Any
) -> None:
    train, trusted = send_rows(client, 40, 0), send_rows(client, 12, 5)
    example = {key: value for key, value in marked_rows(1, 9)[0].items() if key != "id"}
    indexes = [
        ask("/v1/indexes", checkpoint_id=checkpoint.id, dataset_id=train, storage=storage, max_length=64)
        for storage in ("full", "compact")
    ]
    answers = [f"/v1/previews/{ask(f'/v1/datasets/{train}/preview', checkpoint_id=checkpoint.id)}"]
    for index in indexes:
        rows = {"dataset_id": trusted, "row_indexes": [0, 1]}
        asked: list[dict[str, Any]] = [
            {"examples": [example]},
            {"rows": rows},
            {"examples": [example], "method": "embedding"},
        ]
        answers += [f"/v1/queries/{ask(f'/v1/indexes/{index}/queries', **body)}" for body in asked]
        answers.append(f"/v1/sweeps/{ask(f'/v1/indexes/{index}/sweeps', examples=[example])}")
        answers.append(f"/v1/audits/{ask(f'/v1/indexes/{index}/audits', evaluation={'dataset_id': trusted})}")
        groups = ask(f"/v1/indexes/{index}/groups", by="label", evaluation={"dataset_id": trusted})
        answers.append(f"/v1/groups/{groups}")
    evaluation = ask("/v1/evaluations", kind="lds", index_id=indexes[0], evaluation_dataset_id=trusted, subsets=4)
    review = client.post("/v1/reviews", json={"dataset_id": train, "name": MARK}).json()["id"]
    decisions = {"decisions": [{"row_index": 3, "action": "remove", "note": MARK}]}
    assert client.patch(f"/v1/reviews/{review}/decisions", json=decisions).is_success
    odd = add_dataset(store, worker.files, [{"id": f"{MARK}-odd", "text": MARK, "label": 7}], "classification")
    failed = submit_index(store, checkpoint, odd, storage="full")
    assert MARK in finished(store, failed.job_id).error["detail"]
    assert len(quoting(store)) > len(answers)

    assert_problem(client.delete(f"/v1/datasets/{train}"), 409, "resource_in_use")
    delete_all(client, f"/v1/indexes/{indexes[0]}")
    gone = [client.get(path).status_code for path in answers]
    assert gone == [200, *[404] * 6, *[200] * 6], "what was asked of one index goes with it, the rest stays"
    delete_all(
        client,
        f"/v1/reviews/{review}",
        f"/v1/datasets/{trusted}",
        *(f"/v1/indexes/{name}" for name in (indexes[1], failed.id)),
    )
    delete_all(client, f"/v1/datasets/{train}", f"/v1/datasets/{odd.id}", f"/v1/checkpoints/{checkpoint.id}")
    assert client.get(f"/v1/evaluations/{evaluation}").status_code == 404
    assert [client.get(path).status_code for path in answers] == [404] * len(answers)
    assert quoting(store) == []
    left = [name.decode() for name in store.connections.state.scan_iter()]
    assert [name for name in left if not name.startswith(_HARMLESS)] == []
    assert list(worker.files.datasets.iterdir()) == list(worker.files.adapters.iterdir()) == []

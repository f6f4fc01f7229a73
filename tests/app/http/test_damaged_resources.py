"""One record that cannot be read takes nothing else with it: lists go on, and it can be deleted by its id."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.work import make_work

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.work import INDEX, WORK_KINDS, WorkKind
from influence.store import keys
from influence.store.data.files import Files
from influence.store.store import Store
from influence.store.work import accept

LISTED = ("indexes", "audits", "evaluations")


def damage(store: Store, kind: str, record_id: str) -> None:
    store.connections.state.set(keys.record(kind, record_id), "no JSON")


@pytest.mark.parametrize("kind", WORK_KINDS, ids=lambda kind: kind.name)
def test_a_damaged_record_of_work(client: TestClient, store: Store, kind: WorkKind[Any]) -> None:
    bad, good = (accept(store, make_work(kind)) for _ in range(2))
    damage(store, kind.name, bad.id)
    problem = assert_problem(client.get(kind.path(bad.id)), 500, "record_damaged")
    assert bad.id in problem["detail"]
    assert "Delete" in problem["hint"]
    if kind.collection in LISTED:
        listed = client.get(f"/v1/{kind.collection}").json()["data"]
        assert [shown["id"] for shown in listed] == [good.id]
    assert client.delete(kind.path(bad.id)).status_code == 204
    assert_problem(client.get(kind.path(bad.id)), 404, "not_found")
    assert_problem(client.delete(kind.path(bad.id)), 404, "not_found")
    assert client.get(kind.path(good.id)).status_code == 200


def test_a_damaged_checkpoint(client: TestClient, store: Store, checkpoint: Checkpoint) -> None:
    damage(store, "checkpoint", checkpoint.id)
    assert_problem(client.get(f"/v1/checkpoints/{checkpoint.id}"), 500, "record_damaged")
    assert client.get("/v1/checkpoints").json()["data"] == []
    assert client.delete(f"/v1/checkpoints/{checkpoint.id}").status_code == 204
    assert_problem(client.delete(f"/v1/checkpoints/{checkpoint.id}"), 404, "not_found")


def test_a_damaged_data_set(client: TestClient, store: Store, files: Files, dataset_id: str) -> None:
    damage(store, "dataset", dataset_id)
    assert_problem(client.get(f"/v1/datasets/{dataset_id}"), 500, "record_damaged")
    assert client.get("/v1/datasets").json()["data"] == []
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert not files.dataset(dataset_id).exists()


def test_a_damaged_job(client: TestClient, store: Store) -> None:
    bad, good = (accept(store, make_work(INDEX, id=name)) for name in ("idx_bad", "idx_good"))
    store.connections.state.hset(keys.job(bad.job_id), "record", "no JSON")
    assert_problem(client.get(f"/v1/jobs/{bad.job_id}"), 500, "record_damaged")
    assert [job["id"] for job in client.get("/v1/jobs").json()["data"]] == [good.job_id]
    shown = client.get("/v1/indexes/idx_bad").json()
    assert (shown["state"], shown["error"]["code"]) == ("failed", "record_damaged")
    assert {index["id"] for index in client.get("/v1/indexes").json()["data"]} == {"idx_bad", "idx_good"}
    assert client.delete("/v1/indexes/idx_bad").status_code == 204


def test_the_same_request_builds_an_index_whose_record_was_damaged(
    client: TestClient, store: Store, checkpoint: Checkpoint, dataset_id: str
) -> None:
    body = {"checkpoint_id": checkpoint.id, "dataset_id": dataset_id}
    index = client.post("/v1/indexes", json=body).json()
    damage(store, "index", index["id"])
    again = client.post("/v1/indexes", json=body)
    assert again.status_code == 202
    assert again.json()["id"] == index["id"]
    assert again.json()["job_id"] != index["job_id"]


def test_readiness_counts_the_workers_that_can_be_read(client: TestClient, store: Store) -> None:
    store.workers.announce("good", {"name": "good"})
    store.workers.announce("bad", {"name": "bad"})
    store.connections.state.set(keys.worker("bad"), b"\xff", ex=10)
    assert client.get("/health/ready").json()["workers"] == 1


@pytest.mark.parametrize(
    ("part", "value"),
    [("decisions", "no JSON"), ("decisions", "[]"), ("counts", "many"), ("order", "x"), ("history", "{")],
)
def test_decisions_that_cannot_be_read(
    client: TestClient, store: Store, dataset_id: str, part: str, value: str
) -> None:
    bad, good = (
        client.post("/v1/reviews", json={"dataset_id": dataset_id, "name": name}).json()["id"] for name in "ab"
    )
    change = {"decisions": [{"row_index": 1, "action": "keep"}]}
    assert client.patch(f"/v1/reviews/{bad}/decisions", json=change).status_code == 200
    state = store.connections.state
    if part == "history":
        state.lset(keys.review_history(bad), 0, value)
    elif part == "order":
        state.zadd(keys.review_order(bad), {value: 9})
    else:
        name, field = (keys.review_counts(bad), "keep") if part == "counts" else (keys.review_decisions(bad), "1")
        state.hset(name, field, value)
    paths = {"history": "/history", "decisions": "/decisions"}
    problem = assert_problem(client.get(f"/v1/reviews/{bad}{paths.get(part, '')}"), 500, "record_damaged")
    assert bad in problem["detail"]
    listed = [shown["id"] for shown in client.get("/v1/reviews").json()["data"]]
    assert good in listed
    assert client.delete(f"/v1/reviews/{bad}").status_code == 204
    assert client.get(f"/v1/reviews/{bad}").status_code == 404

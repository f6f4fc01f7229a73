"""A POST sent twice under one key does its work once."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from app.http.idempotency import Accepted, IdempotentRun
from influence.contracts.checkpoint import Checkpoint
from influence.errors import IdempotencyConflict
from influence.store import keys
from influence.store.store import Store

EXAMPLE = {"examples": [{"text": "a", "label": 0}]}


def send(client: TestClient, path: str, body: Any, key: str = "k1", **headers: str) -> Any:
    return client.post(path, json=body, headers={"Idempotency-Key": key, **headers})


def test_the_same_query_under_one_key_is_one_query(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    path = f"/v1/indexes/{ready_index['id']}/queries"
    first, again = send(client, path, EXAMPLE), send(client, path, EXAMPLE)
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert len(store.queue.waiting("query")) == 1
    assert send(client, path, EXAMPLE, key="k2").json()["id"] != first.json()["id"]


def test_another_body_under_the_key_is_refused(client: TestClient, ready_index: dict[str, Any]) -> None:
    path = f"/v1/indexes/{ready_index['id']}/queries"
    send(client, path, EXAMPLE)
    assert_problem(send(client, path, {**EXAMPLE, "k": 3}), 409, "idempotency_conflict")


def test_a_key_belongs_to_its_path_and_its_caller(
    make_client: Callable[..., TestClient], ready_index: dict[str, Any], checkpoint: Checkpoint
) -> None:
    known = ["a-key-of-the-tests-0001", "a-key-of-the-tests-0002"]
    guarded = make_client(api_keys=known)
    path = f"/v1/indexes/{ready_index['id']}/queries"
    made = [send(guarded, path, EXAMPLE, Authorization=f"Bearer {key}").json()["id"] for key in known]
    assert made[0] != made[1]
    body = {"checkpoint_id": checkpoint.id, "dataset_id": ready_index["spec"]["dataset_id"]}
    assert send(guarded, "/v1/indexes", body, Authorization=f"Bearer {known[0]}").status_code == 200


def test_a_form_counts_as_the_same_by_its_content(client: TestClient) -> None:
    def upload(content: str, filename: str = "rows.jsonl") -> Any:
        return client.post("/v1/datasets", files={"file": (filename, content)}, headers={"Idempotency-Key": "k1"})

    first, again = upload('{"text": "a"}\n'), upload('{"text": "a"}\n')
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json() == again.json()
    assert_problem(upload('{"text": "b"}\n'), 409, "idempotency_conflict")
    assert_problem(upload('{"text": "a"}\n', "other.jsonl"), 409, "idempotency_conflict")


def test_a_request_that_was_refused_frees_its_key(client: TestClient, ready_index: dict[str, Any]) -> None:
    path = f"/v1/indexes/{ready_index['id']}/queries"
    assert_problem(send(client, path, {**EXAMPLE, "method": "none"}), 422, "unknown_method")
    assert send(client, path, EXAMPLE).status_code == 202


def test_a_request_whose_twin_is_still_running_is_told_to_come_back(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    def meet_twin() -> Accepted:
        with pytest.raises(IdempotencyConflict) as met:
            IdempotentRun(store, "key").run("body", lambda: Accepted("never"))
        assert met.value.extra["retry_after_seconds"] > 0
        return Accepted(ready_index["id"])

    assert IdempotentRun(store, "key").run("body", meet_twin).resource_id == ready_index["id"]


def test_what_was_deleted_since_is_made_anew_and_not_answered_with_404(
    client: TestClient, ready_index: dict[str, Any]
) -> None:
    path = f"/v1/indexes/{ready_index['id']}/queries"
    first = send(client, path, EXAMPLE)
    assert client.delete(f"/v1/queries/{first.json()['id']}").status_code == 204
    again = send(client, path, EXAMPLE)
    assert again.status_code == 202
    assert again.json()["id"] != first.json()["id"]
    assert "idempotent-replayed" not in again.headers


def test_a_request_that_died_half_way_frees_its_key_in_the_end(store: Store) -> None:
    assert store.idempotency.begin("key") is True
    assert store.idempotency.begin("key") is False
    store.connections.state.set(keys.idempotency("key"), '{"pending_since": 1}')
    assert store.idempotency.begin("key") is True
    store.connections.state.set(keys.idempotency("key"), "no JSON")
    assert store.idempotency.begin("key") is True


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_of_no_or_endless_length_is_refused(client: TestClient, ready_index: dict[str, Any], key: str) -> None:
    path = f"/v1/indexes/{ready_index['id']}/queries"
    assert_problem(send(client, path, EXAMPLE, key=key), 422, "invalid_request")

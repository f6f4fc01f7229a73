"""Test points and growing where the data set numbers its classes otherwise than the checkpoint."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from influence.contracts.checkpoint import Checkpoint
from influence.store.store import Store

ROWS = "".join(f'{{"text": "ticket {number}", "label": {number % 3}}}\n' for number in range(6))
OTHER_ORDER = '["access", "billing", "delivery"]'


def send(client: TestClient, names: str) -> str:
    answer = client.post("/v1/datasets", files={"file": ("rows.jsonl", ROWS)}, data={"label_names": names})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def index_id(client: TestClient, checkpoint: Checkpoint, store: Store, worker: None) -> str:
    body = {"checkpoint_id": checkpoint.id, "dataset_id": send(client, OTHER_ORDER), "storage": "compact"}
    made = client.post("/v1/indexes", json=body).json()
    store.indexes.update(made["id"], lambda found: found.model_copy(update={"state": "succeeded", "rows_indexed": 6}))
    store.jobs.succeed(made["job_id"])
    return str(made["id"])


def ask(client: TestClient, index_id: str, label: Any) -> Any:
    body = {"examples": [{"text": "hello", "label": label}]}
    return client.post(f"/v1/indexes/{index_id}/queries", json=body)


def test_number_that_means_two_classes_is_refused_and_a_name_is_not(client: TestClient, index_id: str) -> None:
    problem = assert_problem(ask(client, index_id, 0), 422, "label_unknown")
    assert "'access' to the data set, 'billing' to the head" in problem["detail"]
    assert ask(client, index_id, 2).status_code == 202
    assert ask(client, index_id, "billing").status_code == 202


def test_index_does_not_grow_from_rows_in_another_order(client: TestClient, index_id: str, store: Store) -> None:
    old = store.indexes.require(index_id)
    same_order = send(client, '["billing", "access", "delivery"]')
    body = {"checkpoint_id": old.spec.checkpoint_id, "dataset_id": same_order, "storage": "compact"}
    answer = client.post("/v1/indexes", json={**body, "grow_from": index_id})
    assert "different orders" in assert_problem(answer, 422, "invalid_request")["detail"]


def test_data_set_of_other_classes_is_refused_when_an_index_is_asked_for(
    client: TestClient, checkpoint: Checkpoint
) -> None:
    body = {"checkpoint_id": checkpoint.id, "dataset_id": send(client, '["red", "green", "blue"]')}
    problem = assert_problem(client.post("/v1/indexes", json=body), 422, "label_unknown")
    assert "0 'red'" in problem["detail"]
    assert "0 'billing'" in problem["detail"]

"""Sweeps over HTTP: checked before they are queued, cancelled like queries."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem
from support.work import submit_evaluation

from influence.contracts.evaluation.experiment import LdsRequest
from influence.contracts.sweep import SweepResult, SweepRow
from influence.store.store import Store

EXAMPLE = {"text": "where is my refund", "label": "billing"}


def ask(client: TestClient, index: dict[str, Any], wait: int | None = None, **fields: Any) -> Any:
    headers = {} if wait is None else {"Prefer": f"wait={wait}"}
    body = {"examples": [EXAMPLE], **fields}
    return client.post(f"/v1/indexes/{index['id']}/sweeps", json=body, headers=headers)


def test_a_sweep_is_a_job_on_the_queue_of_queries(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    answer = ask(client, ready_index)
    made = answer.json()
    assert (answer.status_code, made["state"], made["result"]) == (202, "queued", None)
    assert made["id"].startswith("swp_")
    assert made["damping_scales"] == pytest.approx([0.001, 0.01, 0.1, 1.0, 10.0, 100.0])
    assert made["default_damping_scale"] == 0.1
    assert store.queue.waiting("query") == [("sweep_dampings", {"sweep_id": made["id"], "job_id": made["job_id"]})]
    assert client.get(answer.headers["location"]).json()["resource"] == f"/v1/sweeps/{made['id']}"
    assert client.get(f"/v1/sweeps/{made['id']}").json() == made


def test_the_default_joins_the_dampings_asked_for(client: TestClient, ready_index: dict[str, Any]) -> None:
    made = ask(client, ready_index, method="exact", damping_scales=[10, 0.5]).json()
    assert made["damping_scales"] == [0.5, 3.0, 10.0]


def test_a_finished_sweep_is_read_again(client: TestClient, ready_index: dict[str, Any], store: Store) -> None:
    made = ask(client, ready_index).json()
    row = SweepRow(damping_scale=0.1, is_default=True, spearman_with_default=1.0, overlap_with_default=1.0)
    result = SweepResult(rows=(row,), spearman=((1.0,),), top=10, test_points=1, rows_scored=12)
    done = {"state": "succeeded", "result": result}
    store.sweeps.update(made["id"], lambda found: found.model_copy(update=done))
    store.jobs.succeed(made["job_id"])
    assert client.get(f"/v1/sweeps/{made['id']}").json()["result"] == result.model_dump(mode="json")


def test_an_evaluation_that_does_not_judge_this_index_is_refused_with_how_to_make_one(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    assert_problem(ask(client, ready_index, evaluation_id="eval_none"), 404, "not_found")
    other = LdsRequest(kind="lds", dataset_id="ds_other")
    asked = submit_evaluation(store, other, queued=False)
    body = assert_problem(ask(client, ready_index, evaluation_id=asked.id), 422, "invalid_request")
    assert ready_index["id"] in body["hint"]


def test_the_newest_finished_evaluation_of_an_index_judges_its_dampings(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    assert ask(client, ready_index).json()["evaluation_id"] is None
    request = LdsRequest(kind="lds", index_id=ready_index["id"])
    asked = submit_evaluation(store, request, queued=False)
    assert ask(client, ready_index).json()["evaluation_id"] is None
    store.evaluations.update(asked.id, lambda found: found.model_copy(update={"state": "succeeded"}))
    assert ask(client, ready_index).json()["evaluation_id"] == asked.id


@pytest.mark.parametrize("method", ["hessian_free", "cosine", "tracin"])
def test_a_method_without_damping_is_refused_with_those_that_have_one(
    client: TestClient, ready_index: dict[str, Any], method: str
) -> None:
    body = assert_problem(ask(client, ready_index, method=method), 422, "method_not_offered")
    assert "datainf" in body["methods"]
    assert method not in body["methods"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"damping_scales": [0.1]}, 422, "invalid_request"),
        ({"damping_scales": [0.1, 0.1]}, 422, "invalid_request"),
        ({"damping_scales": [0.1, -1]}, 422, "invalid_request"),
        ({"damping_scales": [0.1, 1e-12]}, 422, "invalid_request"),
        ({"damping_scales": list(range(1, 22))}, 422, "invalid_request"),
        ({"method": "exac"}, 422, "unknown_method"),
        ({"method": "ekfac"}, 422, "method_not_offered"),
        ({"examples": [{"text": "a"}]}, 422, "invalid_request"),
        ({"examples": [EXAMPLE] * 257}, 422, "invalid_request"),
        ({"examples": None}, 422, "invalid_request"),
        ({"examples": None, "rows": {"dataset_id": "ds_none"}}, 404, "not_found"),
        ({"k": 5}, 422, "invalid_request"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(
    client: TestClient, ready_index: dict[str, Any], store: Store, fields: dict[str, Any], status: int, code: str
) -> None:
    assert_problem(ask(client, ready_index, **fields), status, code)
    assert store.queue.waiting("query") == []


def test_an_index_in_build_cannot_be_swept(client: TestClient, index: dict[str, Any]) -> None:
    assert_problem(ask(client, index), 409, "index_not_ready")


def test_waiting_without_a_worker_is_refused(client: TestClient, ready_index: dict[str, Any], store: Store) -> None:
    assert_problem(ask(client, ready_index, wait=5), 503, "no_worker")
    assert store.queue.waiting("query") == []


def test_cancelling_a_sweep_ends_it(client: TestClient, ready_index: dict[str, Any]) -> None:
    made = ask(client, ready_index).json()
    assert client.delete(f"/v1/jobs/{made['job_id']}").json()["state"] == "cancelled"
    assert client.get(f"/v1/sweeps/{made['id']}").json()["state"] == "cancelled"

"""Queries over HTTP: checked before they are queued, answered in time or later, all scores to download."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient
from support.answered import finish_query
from support.problems import assert_problem
from support.processes.apart import run_apart

from app.http.prefer_wait import find_wait
from influence.contracts.preview import PreviewRow
from influence.store.store import Store

EXAMPLE = {"text": "where is my refund", "label": "billing"}


def ask(client: TestClient, index: dict[str, Any], wait: int | None = None, **fields: Any) -> Any:
    body = {"examples": [EXAMPLE], **fields}
    headers = {} if wait is None else {"Prefer": f"wait={wait}"}
    return client.post(f"/v1/indexes/{index['id']}/queries", json=body, headers=headers)


@contextmanager
def on_queue(store: Store, wait_until: Callable[..., None], work: Callable[[dict[str, Any]], object]) -> Iterator[None]:
    """Do a worker's work on the one message that comes while the block runs."""

    def run() -> None:
        wait_until(lambda: store.queue.waiting("query"), "a message comes")
        ((_, arguments),) = store.queue.waiting("query")
        work(arguments)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()


def test_without_a_preference_the_answer_is_the_job(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    answer = ask(client, ready_index)
    made = answer.json()
    assert (answer.status_code, made["state"], made["results"]) == (202, "queued", None)
    assert answer.headers["location"] == f"/v1/jobs/{made['job_id']}"
    assert store.queue.waiting("query") == [("answer_query", {"query_id": made["id"], "job_id": made["job_id"]})]
    assert client.get(f"/v1/queries/{made['id']}").json() == made
    assert made["request"]["examples"] == [{"id": "example-0", **EXAMPLE}]


def test_with_a_preference_the_answer_is_the_result(
    client: TestClient, ready_index: dict[str, Any], store: Store, worker: None, wait_until: Callable[..., None]
) -> None:
    with on_queue(store, wait_until, lambda message: finish_query(store, message["query_id"])):
        answer = ask(client, ready_index, wait=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["preference-applied"] == "wait=30"
    assert (answer.json()["state"], len(answer.json()["results"])) == ("succeeded", 1)


def test_a_result_that_is_late_is_answered_with_the_job(
    client: TestClient, ready_index: dict[str, Any], worker: None
) -> None:
    answer = ask(client, ready_index, wait=1)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


def test_no_caller_waits_longer_than_the_operator_lets_it(
    make_client: Callable[..., TestClient], ready_index: dict[str, Any], worker: None
) -> None:
    client = make_client(max_wait_seconds=0.5)
    answer = ask(client, ready_index, wait=900_000)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert answer.headers["preference-applied"] == "wait=0.5"


@pytest.mark.parametrize("most", [0, 0.5, 60])
def test_a_wait_is_cut_to_the_maximum_and_a_shorter_one_stays(
    make_client: Callable[..., TestClient], most: float
) -> None:
    context = make_client(max_wait_seconds=most).app.state.context  # type: ignore[attr-defined]
    waits = [run_apart(find_wait(context, prefer)) for prefer in ("wait=100", "wait=0", "respond-async", None)]
    assert waits == [min(100.0, most), 0.0, None, None]


def test_a_query_that_fails_while_the_caller_waits_is_answered_with_its_error(
    client: TestClient, ready_index: dict[str, Any], store: Store, worker: None, wait_until: Callable[..., None]
) -> None:
    problem = {
        "type": "t",
        "title": "Rows have NaN gradients",
        "status": 422,
        "code": "non_finite_gradients",
        "hint": "h",
        "detail": "d",
    }

    def fail(message: dict[str, Any]) -> None:
        failed = {"state": "failed", "error": problem}
        query = store.queries.update(message["query_id"], lambda found: found.model_copy(update=failed))
        store.jobs.fail(query.job_id, problem)

    with on_queue(store, wait_until, fail):
        answer = ask(client, ready_index, wait=30)
    body = assert_problem(answer, 422, "non_finite_gradients")
    assert client.get(f"/v1/queries/{body['resource_id']}").json()["error"] == problem


def test_waiting_without_a_worker_is_refused_and_nothing_is_queued(
    client: TestClient, ready_index: dict[str, Any], store: Store
) -> None:
    assert_problem(ask(client, ready_index, wait=5), 503, "no_worker")
    assert store.queue.waiting("query") == []


def test_an_index_in_build_is_not_ready_and_says_how_far_it_is(
    client: TestClient, index: dict[str, Any], store: Store
) -> None:
    store.jobs.start(index["job_id"])
    store.jobs.set_phase(index["job_id"], "gradients", total=12)
    answer = ask(client, index)
    body = assert_problem(answer, 409, "index_not_ready")
    assert (body["job_id"], body["state"], body["progress"]["total"]) == (index["job_id"], "running", 12)
    assert int(answer.headers["retry-after"]) >= 1


def test_an_index_that_failed_says_why(client: TestClient, index: dict[str, Any], store: Store) -> None:
    failed = {"state": "failed", "error": {"code": "row_too_long"}}
    store.indexes.update(index["id"], lambda found: found.model_copy(update=failed))
    assert assert_problem(ask(client, index), 409, "index_failed")["error"]["code"] == "row_too_long"


def test_unknown_method_is_refused_with_the_closest_one(client: TestClient, ready_index: dict[str, Any]) -> None:
    body = assert_problem(ask(client, ready_index, method="datainv"), 422, "unknown_method")
    assert "datainf" in body["hint"]


def test_ekfac_on_an_index_without_factors_says_how_to_build_one(
    client: TestClient, ready_index: dict[str, Any]
) -> None:
    body = assert_problem(ask(client, ready_index, method="ekfac"), 422, "method_not_offered")
    assert "kronecker true" in body["hint"]
    assert "'exact'" in body["hint"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"k": 0}, 422, "invalid_request"),
        ({"k": 13}, 422, "invalid_request"),
        ({"order": "best"}, 422, "invalid_request"),
        ({"damping_scale": 0}, 422, "invalid_request"),
        ({"examples": []}, 422, "invalid_request"),
        ({"examples": None}, 422, "invalid_request"),
        ({"examples": [{"text": "a"}]}, 422, "invalid_request"),
        ({"examples": [{"text": "a", "label": 3}]}, 422, "label_out_of_range"),
        ({"examples": [{"text": "a", "label": "refunds"}]}, 422, "label_unknown"),
        ({"examples": [{"body": "a", "label": 1}]}, 422, "columns_unmatched"),
        ({"examples": [{"text": 5, "label": 1}]}, 422, "broken_row"),
        ({"rows": {"dataset_id": "ds_1"}}, 422, "invalid_request"),
        ({"compare": ["embedding"], "method": "embedding"}, 422, "invalid_request"),
        ({"compare": ["datainf"]}, 422, "invalid_request"),
        ({"compare": ["embedding", "embedding"]}, 422, "invalid_request"),
        ({"examples": None, "rows": {"dataset_id": "ds_none"}}, 404, "not_found"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(
    client: TestClient, ready_index: dict[str, Any], store: Store, fields: dict[str, Any], status: int, code: str
) -> None:
    assert_problem(ask(client, ready_index, **fields), status, code)
    assert store.queue.waiting("query") == []


def test_k_that_was_not_asked_for_is_never_too_large(client: TestClient, ready_index: dict[str, Any]) -> None:
    assert ask(client, ready_index, k=12).status_code == 202
    assert ask(client, ready_index, target="prediction", examples=[{"text": "a"}]).status_code == 202


def test_rows_of_a_data_set_are_test_points(client: TestClient, ready_index: dict[str, Any]) -> None:
    dataset_id = ready_index["spec"]["dataset_id"]
    rows = {"dataset_id": dataset_id, "row_indexes": [0, 11]}
    assert ask(client, ready_index, examples=None, rows=rows, aggregate="mean").status_code == 202
    for wrong in ([12], [-1], []):
        answer = ask(client, ready_index, examples=None, rows={"dataset_id": dataset_id, "row_indexes": wrong})
        assert_problem(answer, 422, "invalid_request")


def test_rows_of_another_kind_are_refused(client: TestClient, ready_index: dict[str, Any]) -> None:
    other = client.post("/v1/datasets", files={"file": ("rows.jsonl", '{"text": "a"}\n')}).json()["id"]
    assert_problem(ask(client, ready_index, examples=None, rows={"dataset_id": other}), 422, "rows_unfit")


def test_damping_that_a_method_does_not_have_is_noted(client: TestClient, ready_index: dict[str, Any]) -> None:
    made = ask(client, ready_index, method="hessian_free", damping_scale=1.0).json()
    assert "no damping" in made["notes"][0]


def test_cancelling_a_query_ends_it(client: TestClient, ready_index: dict[str, Any]) -> None:
    made = ask(client, ready_index).json()
    assert client.delete(f"/v1/jobs/{made['job_id']}").json()["state"] == "cancelled"
    assert client.get(f"/v1/queries/{made['id']}").json()["state"] == "cancelled"


@pytest.fixture
def scored(client: TestClient, ready_index: dict[str, Any], store: Store) -> tuple[str, Any]:
    """A finished query of two test points, the last row outside the index."""
    query_id = ask(client, ready_index, examples=[EXAMPLE, EXAMPLE]).json()["id"]
    scores = np.random.default_rng(3).normal(size=(2, 12)).astype(np.float32)
    scores[:, 11] = np.nan
    store.scores.write(query_id, scores)
    finish_query(store, query_id, 2)
    return query_id, scores


def test_all_scores_as_json(client: TestClient, scored: tuple[str, Any]) -> None:
    query_id, truth = scored
    body = client.get(f"/v1/queries/{query_id}/scores").json()
    assert (body["query_id"], body["rows"]) == (query_id, 12)
    assert [row[11] for row in body["influence"]] == [row[11] for row in body["score"]] == [None, None]
    assert [row[:11] for row in body["score"]] == [[-value for value in row[:11]] for row in body["influence"]]
    assert np.array_equal(np.array([row[:11] for row in body["influence"]], dtype=np.float32), truth[:, :11])


def test_all_scores_as_parquet(client: TestClient, scored: tuple[str, Any]) -> None:
    query_id, truth = scored
    answer = client.get(f"/v1/queries/{query_id}/scores", headers={"Accept": "application/vnd.apache.parquet"})
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.column_names == ["score_0", "score_1", "test_point_0", "test_point_1"]
    columns = np.stack([column.to_numpy() for column in table.columns])
    assert np.array_equal(columns, np.concatenate([-truth, truth]), equal_nan=True)


def test_more_queries_than_the_queue_takes_are_told_to_come_back(
    make_client: Callable[..., TestClient], ready_index: dict[str, Any], store: Store
) -> None:
    client = make_client(max_queued_queries=1)
    path, headers = f"/v1/indexes/{ready_index['id']}/queries", {"Idempotency-Key": "k1"}
    first = client.post(path, json={"examples": [EXAMPLE]}, headers=headers)
    assert first.status_code == 202
    refused = client.post(path, json={"examples": [EXAMPLE]})
    assert assert_problem(refused, 429, "too_many_requests")["queued"] == 1
    assert int(refused.headers["retry-after"]) > 0
    assert client.post(path, json={"examples": [EXAMPLE]}, headers=headers).json()["id"] == first.json()["id"]
    assert len(store.queue.waiting("query")) == 1


def test_the_form_of_scores_follows_the_weights_that_the_caller_gives(
    client: TestClient, scored: tuple[str, Any]
) -> None:
    path = f"/v1/queries/{scored[0]}/scores"
    both = client.get(path, headers={"Accept": "application/vnd.apache.parquet;q=0.1, application/json"})
    assert both.json()["rows"] == 12
    assert "Accept" in both.headers["vary"].split(", ")
    body = assert_problem(client.get(path, headers={"Accept": "text/html"}), 406, "not_acceptable")
    assert body["offered"] == ["application/json", "application/vnd.apache.parquet"]


def test_scores_of_a_query_that_is_not_done_or_no_longer_kept(
    client: TestClient, ready_index: dict[str, Any], scored: tuple[str, Any], store: Store
) -> None:
    waiting = ask(client, ready_index).json()["id"]
    assert_problem(client.get(f"/v1/queries/{waiting}/scores"), 409, "conflict")
    store.scores.delete(scored[0])
    body = assert_problem(client.get(f"/v1/queries/{scored[0]}/scores"), 404, "not_found")
    assert "again" in body["hint"]


def preview(client: TestClient, index: dict[str, Any], wait: int | None = None, **fields: Any) -> Any:
    body = {"checkpoint_id": index["spec"]["checkpoint_id"], **fields}
    headers = {} if wait is None else {"Prefer": f"wait={wait}"}
    return client.post(f"/v1/datasets/{index['spec']['dataset_id']}/preview", json=body, headers=headers)


def test_a_preview_shows_the_first_rows_once_a_worker_has_rendered_them(
    client: TestClient, index: dict[str, Any], store: Store, worker: None, wait_until: Callable[..., None]
) -> None:
    def render(message: dict[str, Any]) -> None:
        rows = (PreviewRow(row_index=0, row_id="a", rendered="x y", tokens=("x", "y"), supervised=(False, True)),)
        done = store.previews.update(
            message["preview_id"], lambda found: found.model_copy(update={"state": "succeeded", "rows": rows})
        )
        store.jobs.succeed(done.job_id)

    with on_queue(store, wait_until, render):
        answer = preview(client, index)
    assert answer.status_code == 200, answer.text
    assert answer.json()["request"]["row_indexes"] == [0, 1, 2, 3, 4]
    assert answer.json()["rows"][0]["supervised"] == [False, True]
    assert client.get(f"/v1/previews/{answer.json()['id']}").json() == answer.json()


def test_a_preview_that_nobody_waits_for_is_a_job(client: TestClient, index: dict[str, Any]) -> None:
    answer = preview(client, index, wait=0, row_indexes=[3, 11])
    assert (answer.status_code, answer.json()["request"]["row_indexes"]) == (202, [3, 11])
    assert preview(client, index, wait=0, offset=10).json()["request"]["row_indexes"] == [10, 11]


def test_previews_that_make_no_sense_are_refused(client: TestClient, index: dict[str, Any]) -> None:
    assert_problem(preview(client, index, wait=0, row_indexes=[12]), 422, "invalid_request")
    assert_problem(preview(client, index, wait=0, offset=12), 422, "invalid_request")
    assert_problem(preview(client, index, wait=0, offset=1, row_indexes=[1]), 422, "invalid_request")
    assert_problem(preview(client, index), 503, "no_worker")

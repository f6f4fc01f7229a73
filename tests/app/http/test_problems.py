"""Every refusal is a problem with a code, a hint and the request's id."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from structlog.testing import capture_logs
from support.api import LocalClient
from support.problems import assert_problem

from app.http.serving.middleware import choose_request_id
from app.http.strict_json import parse_json
from app.main import create_app
from app.settings import ApiSettings
from influence.errors import InvalidRequest
from influence.store.connections import connect
from influence.store.data.files import Files
from influence.store.store import Store

JSON = {"content-type": "application/json"}


def test_unknown_path_is_a_problem(client: TestClient) -> None:
    assert_problem(client.get("/v2/everything"), 404, "not_found")


def test_wrong_method_is_a_problem_that_names_the_right_ones(client: TestClient) -> None:
    answer = client.put("/health/live")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["checkpoints", "datasets", "indexes", "queries", "audits", "previews", "jobs"])
def test_unknown_id_is_not_found(client: TestClient, path: str) -> None:
    assert_problem(client.get(f"/v1/{path}/none_1"), 404, "not_found")


@pytest.mark.parametrize("path", ["checkpoints", "datasets", "indexes", "audits", "jobs"])
def test_deleting_what_does_not_exist_is_not_found(client: TestClient, path: str) -> None:
    assert_problem(client.delete(f"/v1/{path}/none_1"), 404, "not_found")


def test_unknown_field_is_refused_by_name(client: TestClient) -> None:
    answer = client.post("/v1/indexes", json={"checkpoint_id": "c", "dataset_id": "d", "rnak": 4})
    body = assert_problem(answer, 422, "invalid_request")
    assert [error["field"] for error in body["errors"]] == ["rnak"]


def test_unknown_query_parameter_is_refused_by_name(client: TestClient) -> None:
    body = assert_problem(client.get("/v1/jobs?limitt=3"), 422, "invalid_request")
    assert body["errors"][0]["field"] == "limitt"


@pytest.mark.parametrize(
    "text", ["{", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": 1, "a": 2}', "[" * 100_000, b"\xff\xfe{}"]
)
def test_json_that_readers_would_disagree_about_is_refused(client: TestClient, text: str) -> None:
    body = assert_problem(client.post("/v1/indexes", content=text, headers=JSON), 422, "invalid_request")
    assert "JSON" in body["detail"]


@given(st.binary(max_size=40))
def test_parsing_never_fails_otherwise(data: bytes) -> None:
    with suppress(InvalidRequest):
        parse_json(data)


def test_form_where_json_is_needed_is_refused_with_the_header_to_send(client: TestClient) -> None:
    body = assert_problem(client.post("/v1/indexes", data={"a": "b"}), 415, "unsupported_format")
    assert "Content-Type: application/json" in body["hint"]


def test_body_over_the_limit_is_refused(make_client: Callable[..., TestClient]) -> None:
    small = make_client(max_request_bytes=100)
    assert_problem(small.post("/v1/indexes", json={"checkpoint_id": "c" * 200}), 413, "too_large")


def test_body_of_unknown_length_is_counted(make_client: Callable[..., TestClient]) -> None:
    def pieces() -> Iterator[bytes]:
        yield from [b" " * 60] * 5

    small = make_client(max_request_bytes=100)
    assert_problem(small.post("/v1/indexes", content=pieces(), headers=JSON), 413, "too_large")


@pytest.mark.parametrize("limit", [0, -1, 10_000])
def test_page_length_outside_its_bounds_is_refused(client: TestClient, limit: int) -> None:
    assert_problem(client.get(f"/v1/datasets?limit={limit}"), 422, "invalid_request")


def test_cursor_that_points_nowhere_is_not_found(client: TestClient) -> None:
    assert_problem(client.get("/v1/datasets?after=ds_gone"), 404, "not_found")


def test_request_id_of_the_caller_is_echoed(client: TestClient) -> None:
    answer = client.get("/v1/jobs/job_0", headers={"X-Request-Id": "trace-7"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "trace-7"


@pytest.mark.parametrize("given_id", [None, "", "a b", "x" * 200, "a\nb", "é"])
def test_request_id_that_could_harm_a_log_is_replaced(given_id: str | None) -> None:
    assert choose_request_id(given_id).startswith("req_")


def test_store_that_is_gone_is_unavailable_but_the_process_lives(files: Files) -> None:
    connections = connect("unix:///nonexistent/redis.sock")
    app = create_app(ApiSettings(data_dir=files.root), store=Store(connections), files=files)
    with LocalClient(app) as client:
        assert client.get("/health/live").json() == {"status": "live"}
        answer = client.get("/v1/jobs/job_0")
        assert_problem(answer, 503, "store_unavailable")
        assert answer.headers["retry-after"] == "5"
        assert client.get("/health/ready").status_code == 503
    connections.close()


def test_what_nobody_foresaw_is_an_internal_error_without_a_traceback(store: Store, files: Files) -> None:
    app = create_app(ApiSettings(data_dir=files.root), store=store, files=files)

    @app.get("/broken")
    def break_down() -> None:
        raise ZeroDivisionError("secret detail")

    with LocalClient(app) as client, capture_logs() as logged:
        answer = client.get("/broken")
    assert any(line["event"] == "request failed" and line["exc_info"] for line in logged)
    body = assert_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert body["request_id"].startswith("req_")


def test_ready_tells_whether_workers_run(client: TestClient, store: Store) -> None:
    assert client.get("/health/ready").json()["notes"]
    store.workers.announce("w1", {"name": "w1"})
    assert client.get("/health/ready").json() == {"status": "ready", "workers": 1, "notes": []}


def test_ready_refuses_a_server_that_may_evict_records(client: TestClient, store: Store) -> None:
    state = store.connections.state
    state.config_set("maxmemory-policy", "allkeys-lru")
    try:
        answer = client.get("/health/ready")
    finally:
        state.config_set("maxmemory-policy", "volatile-lru")
    assert (answer.status_code, answer.json()["status"]) == (503, "unsafe")


def test_metrics_count_requests_by_route_and_jobs_by_state(client: TestClient, store: Store) -> None:
    client.get("/v1/jobs/job_0")
    store.jobs.create("job_1", "index", "idx_1", "/v1/indexes/idx_1")
    text = client.get("/metrics").text
    assert 'datainf_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} 1.0' in text
    assert 'datainf_jobs{state="queued"} 1.0' in text
    assert 'datainf_queue_depth{queue="build"} 0.0' in text

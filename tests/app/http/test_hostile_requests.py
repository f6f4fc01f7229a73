"""Requests that no well-meaning client sends are refused in our own words, never with a 500."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.problems import assert_problem

from app.http.multipart import MAX_BOUNDARY_BYTES
from app.http.strict_json import MAX_DEPTH, parse_json
from influence.errors import InvalidRequest
from influence.store.store import Store

JSON = {"content-type": "application/json"}
KINDS = [
    "checkpoints",
    "datasets",
    "indexes",
    "queries",
    "audits",
    "sweeps",
    "evaluations",
    "previews",
    "jobs",
    "reviews",
]
NO_IDS = ["x", "idx_", "_1", "IDX_1", "idx_1:commits", "idx_%ED%A0%80", "idx_%00", "idx_1*", "ïdx_1"]


@pytest.fixture
def _below_resources(store: Store) -> None:
    """Keys below resources, as workers write them."""
    state = store.connections.state
    state.hset("datainf:index:idx_1:commits", "0", "{}")
    state.set("datainf:query:qry_1:scores:0", b"\x00")


@pytest.mark.leaks
@pytest.mark.usefixtures("_below_resources")
@pytest.mark.parametrize(
    "path", ["queries/qry_1:scores:0", "indexes/idx_1:commits", "queries/qry_1:scores:0/scores", "jobs/job_1:x/events"]
)
def test_a_key_below_a_resource_is_no_resource(client: TestClient, path: str) -> None:
    assert_problem(client.get(f"/v1/{path}"), 404, "not_found")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NO_IDS)
def test_what_is_no_id_is_not_found(client: TestClient, kind: str, name: str) -> None:
    assert_problem(client.get(f"/v1/{kind}/{name}"), 404, "not_found")


@pytest.mark.leaks
@pytest.mark.usefixtures("_below_resources")
def test_ids_in_bodies_are_held_to_the_same(client: TestClient, ready_index: dict[str, Any]) -> None:
    weights = [{"index_id": ready_index["id"], "weight": 1}, {"index_id": "idx_1:commits", "weight": 1}]
    body = {"examples": [{"text": "a", "label": 0}], "checkpoints": weights}
    assert_problem(client.post(f"/v1/indexes/{ready_index['id']}/queries", json=body), 404, "not_found")


@pytest.mark.parametrize(
    "text",
    [
        b'{"checkpoint_id": "\\ud800", "dataset_id": "d"}',
        b'{"checkpoint_id": "\\uDFFF", "dataset_id": "d"}',
        b'{"checkpoint_id": "\xed\xa0\x80", "dataset_id": "d"}',
        b'{"\\ud800": 1}',
        '{"checkpoint_id": "c"}'.encode("utf-16"),
    ],
)
def test_text_that_is_no_unicode_is_refused(client: TestClient, text: bytes) -> None:
    body = assert_problem(client.post("/v1/indexes", content=text, headers=JSON), 422, "invalid_request")
    assert "UTF-8" in body["hint"]


def test_test_points_that_are_no_unicode_are_refused(client: TestClient, ready_index: dict[str, Any]) -> None:
    path, text = f"/v1/indexes/{ready_index['id']}/queries", b'{"examples": [{"text": "\\ud800", "label": 0}]}'
    body = assert_problem(client.post(path, content=text, headers=JSON), 422, "invalid_request")
    assert "surrogate" in body["detail"]


def test_whole_pairs_and_escaped_backslashes_are_text() -> None:
    assert parse_json(b'["\\ud83d\\ude00", "\\\\ud800"]') == ["\U0001f600", "\\ud800"]
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("depth", [500, 50_000])
def test_nesting_without_end_is_refused(client: TestClient, ready_index: dict[str, Any], depth: int) -> None:
    text = '{"examples": [{"text": ' + "[" * depth + "]" * depth + "}]}"
    answer = client.post(f"/v1/indexes/{ready_index['id']}/queries", content=text, headers=JSON)
    assert_problem(answer, 422, "invalid_request")


def test_nesting_is_measured_by_depth_and_not_by_the_number_of_brackets() -> None:
    assert len(parse_json(json.dumps([[]] * 1000))) == 1000
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(InvalidRequest, match="nested deeper"):
        parse_json('{"a":' * MAX_DEPTH + "[]" + "}" * MAX_DEPTH)


@pytest.mark.parametrize("length", [0, MAX_BOUNDARY_BYTES + 1, 60_000])
def test_a_boundary_of_no_or_endless_length_is_refused(client: TestClient, length: int) -> None:
    boundary = "x" * length
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    answer = client.post("/v1/datasets", content=f"--{boundary}\r\n".encode(), headers=headers)
    assert_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/datasets", "GET, HEAD, POST"),
        ("/v1/datasets/ds_1", "DELETE, GET, HEAD, PATCH"),
        ("/v1/reviews/rev_1", "DELETE, GET, HEAD, PATCH"),
        ("/health/live", "GET, HEAD"),
    ],
)
def test_a_refused_method_is_told_all_that_the_path_takes(client: TestClient, path: str, allowed: str) -> None:
    answer = client.put(path)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 10**30])
def test_whole_numbers_that_no_array_holds_are_refused(
    client: TestClient, ready_index: dict[str, Any], number: int
) -> None:
    body = {"rows": {"dataset_id": "ds_a", "row_indexes": [number]}}
    answer = client.post(f"/v1/indexes/{ready_index['id']}/queries", json=body)
    assert "too large a number" in assert_problem(answer, 422, "invalid_request")["detail"]
    assert parse_json(f"[{(1 << 63) - 1}, {-(1 << 63)}]") == [(1 << 63) - 1, -(1 << 63)]


@pytest.mark.parametrize("number", ["1" * 31, "-" + "1" * 31, str(1 << 63)])
def test_text_that_is_read_as_such_a_number_is_refused_as_well(
    client: TestClient, ready_index: dict[str, Any], number: str
) -> None:
    body = {"rows": {"dataset_id": "ds_a", "row_indexes": [1, number]}}
    answer = client.post(f"/v1/indexes/{ready_index['id']}/queries", json=body)
    assert "too large a whole number" in assert_problem(answer, 422, "invalid_request")["detail"]
    removed = {"remove": {"row_indexes": [number]}, "evaluation": {"dataset_id": "ds_a"}}
    assert_problem(client.post(f"/v1/indexes/{ready_index['id']}/what-if", json=removed), 422, "invalid_request")


@pytest.mark.parametrize("after", ["1" * 31, str((1 << 63) - 1), str(1 << 53), "-1"])
def test_a_page_that_no_list_has_is_refused(client: TestClient, ready_index: dict[str, Any], after: str) -> None:
    dataset_id = ready_index["spec"]["dataset_id"]
    review = client.post("/v1/reviews", json={"dataset_id": dataset_id}).json()["id"]
    for path in (f"/v1/reviews/{review}/history", f"/v1/datasets/{dataset_id}/rows"):
        assert_problem(client.get(path, params={"after": after}), 422, "invalid_request")

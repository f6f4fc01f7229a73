"""Without keys, Host and Origin decide who may call; browsers are told to do nothing with answers but read them."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient
from support.problems import assert_problem

from app.http.serving.origins import host_name
from app.settings import ApiSettings

KEY = "a-key-of-the-tests-0001"
ELSEWHERE = "https://elsewhere.example"
MakeClient = Callable[..., TestClient]


def post(client: TestClient, **headers: str) -> Any:
    body = {"checkpoint_id": "ckpt_0", "dataset_id": "ds_0"}
    return client.post("/v1/indexes", json=body, headers=headers)


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example", "10.0.0.1:8321", "", "[::2]:80"])
def test_a_name_that_points_here_by_itself_is_not_taken(client: TestClient, host: str) -> None:
    for path in ("/v1/jobs", "/docs", "/ui/", "/openapi.json", "/metrics"):
        assert_problem(client.get(path, headers={"Host": host}), 403, "host_not_allowed")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8321", "localhost:80", "LOCALHOST", "[::1]", "[::1]:8321"])
def test_names_of_this_machine_are_taken(client: TestClient, host: str) -> None:
    assert client.get("/v1/jobs", headers={"Host": host}).status_code == 200


def test_other_names_are_taken_where_they_are_set_or_callers_have_keys(make_client: MakeClient) -> None:
    host = {"Host": "Lab.example:8321"}
    assert make_client(allowed_hosts=["lab.example"]).get("/v1/jobs", headers=host).status_code == 200
    guarded = {**host, "Authorization": f"Bearer {KEY}"}
    assert make_client(api_keys=[KEY]).get("/v1/jobs", headers=guarded).status_code == 200
    strict = make_client(api_keys=[KEY], allowed_hosts=["other.example"])
    assert_problem(strict.get("/v1/jobs", headers=guarded), 403, "host_not_allowed")


def test_a_host_is_read_without_its_port() -> None:
    assert [host_name(host) for host in ("a:80", "[::1]:80", "[::1]", "A", ":80")] == ["a", "::1", "::1", "a", ":80"]


@pytest.mark.parametrize("origin", [ELSEWHERE, "http://127.0.0.1:9999", "null", "http://127.0.0.1.elsewhere.example"])
def test_a_page_from_elsewhere_changes_nothing(client: TestClient, origin: str) -> None:
    assert_problem(post(client, Origin=origin), 403, "origin_not_allowed")
    form = client.post("/v1/datasets", files={"file": ("a.jsonl", '{"text": "a"}')}, headers={"Origin": origin})
    assert_problem(form, 403, "origin_not_allowed")
    assert_problem(client.delete("/v1/jobs/job_0", headers={"Origin": origin}), 403, "origin_not_allowed")


def test_our_own_page_and_programs_change_what_they_like(client: TestClient) -> None:
    assert_problem(post(client, Origin="http://127.0.0.1"), 404, "not_found")
    assert_problem(post(client, Origin="http://localhost:8321", Host="localhost:8321"), 404, "not_found")
    assert_problem(post(client), 404, "not_found")


def test_no_page_from_elsewhere_may_read_by_default(client: TestClient) -> None:
    answer = client.get("/v1/jobs", headers={"Origin": ELSEWHERE})
    assert not any(name.startswith("access-control-") for name in answer.headers)


def test_pages_of_an_allowed_origin_may_call(make_client: MakeClient) -> None:
    client = make_client(allowed_origins=[ELSEWHERE])
    asked = {"Origin": ELSEWHERE, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "authorization,content-type,idempotency-key,prefer"
    allowed = client.options("/v1/indexes", headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == ELSEWHERE
    answer = post(client, Origin=ELSEWHERE)
    assert_problem(answer, 404, "not_found")
    assert answer.headers["access-control-allow-origin"] == ELSEWHERE
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert_problem(post(client, Origin="https://third.example"), 403, "origin_not_allowed")


@pytest.mark.parametrize("origin", ["*", "https://a.example/", "a.example", "https://*.example", "ftp://a.example"])
def test_what_is_no_origin_is_refused_at_start(origin: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        ApiSettings(allowed_origins=[origin])


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/jobs/job_0", "/nowhere", "/health/live", "/openapi.json", "/metrics"]
)
def test_nothing_in_an_answer_runs_in_a_browser(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_the_page_keeps_its_own_policy(client: TestClient) -> None:
    headers = client.get("/ui/").headers
    assert "require-trusted-types-for 'script'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"

"""No /v1 route answers without a key once keys are set, and no open door without keys."""

import re
from collections.abc import Callable

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient
from starlette.types import Message
from support.problems import assert_problem
from support.processes.apart import run_apart

from app.settings import ApiSettings

KEY = "a-key-of-the-tests-0001"
OTHER = "another-key-of-tests-02"


@pytest.fixture
def guarded(make_client: Callable[..., TestClient]) -> TestClient:
    return make_client(api_keys=[KEY, OTHER])


def test_every_v1_route_refuses_without_a_key(guarded: TestClient) -> None:
    paths = guarded.get("/openapi.json").json()["paths"]
    walked = [
        (method, re.sub(r"{\w+}", "x", path))
        for path, calls in paths.items()
        for method in calls
        if path.startswith("/v1/") or path == "/metrics"
    ]
    assert len(walked) >= 20
    for method, path in walked:
        answer = guarded.request(method.upper(), path)
        assert_problem(answer, 401, "unauthorised")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/v1/datasets", "/v1/checkpoints", "/v1/indexes", "/v1/reviews"])
def test_a_body_is_not_read_before_the_key_is_known(guarded: TestClient, path: str) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"7000000"), (b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b"", "state": {}}
    run_apart(guarded.app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 401


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/docs", "/openapi.json"])
def test_probes_and_documentation_are_open(guarded: TestClient, path: str) -> None:
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_any_of_the_keys_opens(guarded: TestClient, key: str) -> None:
    assert guarded.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize("value", ["Bearer wrong-key-wrong-key", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer", KEY])
def test_anything_else_does_not(guarded: TestClient, value: str) -> None:
    assert_problem(guarded.get("/v1/jobs", headers={"Authorization": value}), 401, "unauthorised")


def test_no_key_is_asked_for_on_loopback_by_default(client: TestClient) -> None:
    assert client.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_listening_to_others_without_a_key_is_refused_at_start(host: str) -> None:
    with pytest.raises(ValidationError, match="DATAINF_API_KEYS"):
        ApiSettings(host=host)
    assert ApiSettings(host=host, api_keys=[KEY]).host == host


def test_a_key_that_can_be_guessed_is_refused_at_start() -> None:
    with pytest.raises(ValidationError, match="16 characters"):
        ApiSettings(api_keys=["short"])


def test_keys_are_not_shown_where_settings_are_printed() -> None:
    assert KEY not in repr(ApiSettings(api_keys=[KEY]))

"""Retries against a real HTTP server that misbehaves as servers do."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from httpx import Response

from datainf_client import Client, Retries, ServiceError
from datainf_client.http.retries import asked_seconds, asks_again

DATASET = {
    "id": "ds_1",
    "kind": "classification",
    "rows": 1,
    "bytes": 1,
    "columns": {},
    "statistics": {},
    "created_at": "2026-01-01T00:00:00Z",
}
QUICK = Retries(first_seconds=0.001)
Answer = Callable[[BaseHTTPRequestHandler], None]


def drop(handler: BaseHTTPRequestHandler) -> None:
    """Hear the request and hang up."""
    handler.close_connection = True


def answer(status: int, body: Any, **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        content = json.dumps(body).encode()
        handler.send_response(status)
        kind = "application/json" if status < 400 else "application/problem+json"
        for name, value in {"Content-Type": kind, **headers, "Content-Length": str(len(content))}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return send


def problem(status: int, code: str, **headers: str) -> Answer:
    return answer(status, {"status": status, "code": code, "detail": "No.", "hint": "Do."}, **headers)


class Script:
    """Answers in their order, and what was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    def keys(self) -> list[str | None]:
        return [headers.get("idempotency-key") for _, _, headers, _ in self.asked]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def client(script: Script) -> Iterator[Client]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self._read_body()
            script.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            script.answers.pop(0)(self)

        def _read_body(self) -> bytes:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                pieces = []
                while size := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        do_GET = do_POST = do_DELETE = do_PATCH = _answer

        def log_message(self, *_: object) -> None:
            """Tests look at what was asked instead."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with Client(f"http://127.0.0.1:{server.server_address[1]}", "a-key", retries=QUICK) as made:
        yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_lost_connection_is_tried_again_and_the_upload_comes_whole_under_one_key(
    client: Client, script: Script
) -> None:
    script.answers = [answer(200, {"status": "ready"}), drop, drop, answer(201, DATASET)]
    client.readiness()
    assert client.datasets.create([{"text": "a", "label": "b"}]).id == "ds_1"
    first, second, third = script.keys()[1:]
    assert first == second == third
    assert first
    bodies = [body for _, path, _, body in script.asked if path == "/v1/datasets"]
    assert all(b'{"text": "a", "label": "b"}' in body for body in bodies)
    assert {headers["authorization"] for _, _, headers, _ in script.asked} == {"Bearer a-key"}


def test_two_submits_have_two_keys(client: Client, script: Script) -> None:
    script.answers = [answer(201, DATASET)] * 2
    for _ in range(2):
        client.datasets.create([{"text": "a"}])
    assert len(set(script.keys())) == 2


@pytest.mark.parametrize("refusal", [problem(429, "too_many_requests"), problem(503, "no_worker", Retry_After="0")])
def test_a_busy_service_is_asked_again(client: Client, script: Script, refusal: Answer) -> None:
    script.answers = [refusal, refusal, answer(200, DATASET)]
    assert client.datasets.get("ds_1").rows == 1


def test_retry_after_is_honoured_unless_it_asks_for_too_much(client: Client, script: Script) -> None:
    script.answers = [problem(503, "store_unavailable", Retry_After="3600")]
    with pytest.raises(ServiceError) as refused:
        client.datasets.get("ds_1")
    assert (refused.value.status, refused.value.code, len(script.asked)) == (503, "store_unavailable", 1)


def test_attempts_end(client: Client, script: Script) -> None:
    script.answers = [problem(429, "too_many_requests")] * 9
    with pytest.raises(ServiceError) as refused:
        client.datasets.get("ds_1")
    assert (refused.value.code, len(script.asked)) == ("too_many_requests", QUICK.attempts)


def test_a_first_try_that_is_still_at_work_is_waited_for(client: Client, script: Script) -> None:
    script.answers = [problem(409, "idempotency_conflict", Retry_After="0"), answer(201, DATASET)]
    assert client.datasets.create([{"text": "a"}]).id == "ds_1"


@pytest.mark.parametrize(
    "refusal",
    [
        problem(409, "index_not_ready", Retry_After="0"),
        problem(503, "worker_died"),
        problem(500, "internal"),
        problem(422, "invalid_request"),
    ],
)
def test_what_another_try_would_not_change_is_told_at_once(client: Client, script: Script, refusal: Answer) -> None:
    script.answers = [refusal]
    with pytest.raises(ServiceError):
        client.queries.create("idx_1", {"text": "a"})
    assert len(script.asked) == 1


@pytest.mark.parametrize("refusal", [drop, problem(503, "store_unavailable", Retry_After="0")])
def test_what_would_be_done_twice_is_not_sent_again(client: Client, script: Script, refusal: Answer) -> None:
    review = {"id": "rev_1", "dataset_id": "ds_1", "rows": 1, "created_at": "2026-01-01T00:00:00Z"}
    script.answers = [answer(200, review), refusal]
    found = client.reviews.get("rev_1")
    with pytest.raises(ServiceError):
        found.undo()
    assert len(script.asked) == 2


def test_a_service_that_was_never_there_is_told_at_once() -> None:
    with (
        Client("http://127.0.0.1:9", retries=Retries(first_seconds=1000.0)) as client,
        pytest.raises(ServiceError) as refused,
    ):
        client.methods()
    assert (refused.value.code, refused.value.status) == ("unreachable", None)


@pytest.mark.parametrize("url", ["127.0.0.1:9", "ftp://127.0.0.1", "http://"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(ServiceError, match="is not an http"):
        Client(url)


def test_an_answer_that_is_not_ours_is_told(client: Client, script: Script) -> None:
    script.answers = [answer(200, {"id": "ds_1"}), answer(200, [1])]
    for _ in range(2):
        with pytest.raises(ServiceError) as refused:
            client.datasets.get("ds_1")
        assert refused.value.code == "unexpected_answer"


def test_what_a_newer_service_adds_is_kept(client: Client, script: Script) -> None:
    script.answers = [answer(200, {**DATASET, "kind": "pictures", "new_field": [1]})]
    dataset = client.datasets.get("ds_1")
    assert (dataset.kind, dataset.model_dump()["new_field"]) == ("pictures", [1])


def test_url_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, client: Client, script: Script) -> None:
    monkeypatch.setenv("DATAINF_URL", client.http.url)
    monkeypatch.setenv("DATAINF_API_KEY", "another-key")
    script.answers = [answer(200, {"data": []})]
    with Client() as other:
        assert other.methods() == []
    assert script.asked[0][2]["authorization"] == "Bearer another-key"


def test_a_time_to_come_again_is_read_as_seconds_or_as_a_date() -> None:
    assert asked_seconds(Response(503, headers={"retry-after": "7"})) == 7
    assert asked_seconds(Response(503, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})) == 0
    assert asked_seconds(Response(503, headers={"retry-after": "Wed, 21 Oct 2999 07:28:00 GMT"})) > 1e9
    assert asked_seconds(Response(503, headers={"retry-after": "soon"})) == 0


def test_a_proxy_without_a_service_behind_it_is_asked_again() -> None:
    assert asks_again(Response(503, text="<html>"), is_repeatable=True)
    assert not asks_again(Response(503, text="<html>"), is_repeatable=False)

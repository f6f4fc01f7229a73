"""Jobs over HTTP: watched, listed, cancelled."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message
from support.problems import assert_problem

from influence.contracts.work import JobKind
from influence.store.store import Store


@pytest.fixture
def job_id(store: Store) -> str:
    return store.jobs.create("job_1", "index", "idx_1", "/v1/indexes/idx_1").id


def read_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n") if not block.startswith(":")]
    return [(block[0].removeprefix("event: "), json.loads(block[1].removeprefix("data: "))) for block in blocks]


def test_a_running_job_says_when_to_look_again(client: TestClient, store: Store, job_id: str) -> None:
    assert int(client.get(f"/v1/jobs/{job_id}").headers["retry-after"]) >= 1
    store.jobs.succeed(job_id)
    assert "retry-after" not in client.get(f"/v1/jobs/{job_id}").headers


def test_jobs_are_paged_newest_first(client: TestClient, store: Store) -> None:
    ids = [store.jobs.create(f"job_{number}", "query", "qry_1", "/v1/queries/qry_1").id for number in range(5)]
    first = client.get("/v1/jobs?limit=3").json()
    second = client.get(f"/v1/jobs?limit=3&after={first['next']}").json()
    assert (len(first["data"]), first["has_more"], second["has_more"]) == (3, True, False)
    assert sorted(item["id"] for page in (first, second) for item in page["data"]) == ids


def test_jobs_are_listed_by_state_and_kind_a_page_at_a_time(client: TestClient, store: Store) -> None:
    for number in range(250):
        kind: JobKind = "audit" if number % 50 == 0 else "query"
        store.jobs.create(f"job_{number}", kind, "qry_1", "/v1/queries/qry_1")
    store.jobs.fail("job_0", {"code": "internal"})
    store.jobs.fail("job_1", {"code": "internal"})
    failed = client.get("/v1/jobs?state=failed&limit=1").json()
    others = client.get(f"/v1/jobs?state=failed&limit=1&after={failed['next']}").json()
    assert {job["id"] for page in (failed, others) for job in page["data"]} == {"job_0", "job_1"}
    assert (failed["has_more"], others["has_more"]) == (True, False)
    assert [job["id"] for job in client.get("/v1/jobs?state=failed&kind=audit").json()["data"]] == ["job_0"]
    assert_problem(client.get("/v1/jobs?state=lost"), 422, "invalid_request")


def test_a_job_that_has_ended_its_life_leaves_the_list(client: TestClient, store: Store, job_id: str) -> None:
    store.jobs.create("job_2", "index", "idx_2", "/v1/indexes/idx_2")
    store.connections.state.delete(f"datainf:job:{job_id}")
    assert [item["id"] for item in client.get("/v1/jobs").json()["data"]] == ["job_2"]


@pytest.mark.parametrize("end", ["succeed", "fail"])
def test_a_finished_job_cannot_be_cancelled(client: TestClient, store: Store, job_id: str, end: str) -> None:
    store.jobs.succeed(job_id) if end == "succeed" else store.jobs.fail(job_id, {"code": "internal"})
    assert_problem(client.delete(f"/v1/jobs/{job_id}"), 409, "conflict")


def test_events_of_a_finished_job_are_its_end(client: TestClient, store: Store, job_id: str) -> None:
    store.jobs.succeed(job_id)
    answer = client.get(f"/v1/jobs/{job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [(name, job["state"]) for name, job in read_events(answer.text)] == [("done", "succeeded")]


def test_events_follow_a_job_to_its_end(
    client: TestClient, store: Store, job_id: str, wait_until: Callable[..., None]
) -> None:
    state = store.connections.state
    channel = f"datainf:events:{job_id}"

    def work() -> None:
        wait_until(lambda: state.pubsub_numsub(channel)[0][1] > 0, "somebody watches")
        store.jobs.start(job_id)
        store.jobs.set_phase(job_id, "gradients", total=4)
        store.jobs.set_done(job_id, 4)
        store.jobs.succeed(job_id)

    thread = threading.Thread(target=work)
    thread.start()
    events = read_events(client.get(f"/v1/jobs/{job_id}/events").text)
    thread.join()
    assert [name for name, _ in events][-1] == "done"
    assert {name for name, _ in events[:-1]} <= {"progress"}
    assert events[-1][1]["progress"]["done"] == 4


def test_a_stream_without_news_says_that_it_lives(
    client: TestClient, store: Store, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    pieces: list[bytes] = []

    async def receive() -> Message:
        return await asyncio.Future()

    async def send(message: Message) -> None:
        # The first news may take longer than the pause on a busy machine.
        if message.get("body", b"").startswith(b": ") and any(piece.startswith(b"event: ") for piece in pieces):
            store.jobs.succeed(job_id)
        pieces.append(message.get("body", b""))

    path = f"/v1/jobs/{job_id}/events"
    headers = [(b"host", b"127.0.0.1")]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    assert client.portal is not None
    client.portal.call(client.app, scope, receive, send)
    events = [piece.partition(b"\n")[0] for piece in pieces if piece]
    assert [event for event in events if event != b": ping"] == [b"event: progress", b"event: done"]
    assert b": ping" in events[events.index(b"event: progress") : -1]


def test_nobody_watches_a_job_that_is_not_there(client: TestClient) -> None:
    assert_problem(client.get("/v1/jobs/job_0/events"), 404, "not_found")


def test_more_streams_than_allowed_are_told_to_come_back(
    make_client: Callable[..., TestClient], store: Store, job_id: str
) -> None:
    client = make_client(max_event_streams=1)
    store.jobs.succeed(job_id)
    places = client.app.state.context.event_streams  # type: ignore[attr-defined]
    path = f"/v1/jobs/{job_id}/events"
    with places:
        answer = client.get(path)
    assert_problem(answer, 429, "too_many_requests")
    assert int(answer.headers["retry-after"]) > 0
    assert [client.get(path).status_code for _ in range(3)] == [200] * 3
    assert places.taken == 0

"""One caller may ask for so much, and another one does not notice."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from support.problems import assert_problem
from support.processes.apart import run_apart

from app.http.serving.bounds import CallerBounds, Rate
from influence.errors import TooManyRequests
from influence.store.access.key import Identity

KEYS = ["a-key-of-the-tests-0001", "another-key-of-tests-02"]


def test_so_many_requests_a_minute_and_no_more(make_client: Callable[..., TestClient]) -> None:
    client = make_client(api_keys=KEYS, max_requests_per_minute=3)
    first, second = ({"Authorization": f"Bearer {key}"} for key in KEYS)
    answers = [client.get("/v1/methods", headers=first) for _ in range(5)]
    assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
    assert_problem(answers[-1], 429, "too_many_requests")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
    assert client.get("/v1/methods", headers=second).status_code == 200
    assert client.get("/health/live").status_code == 200


def test_what_is_left_comes_back_with_time() -> None:
    clock = [0.0]
    rate = Rate(2, "requests", lambda: clock[0])
    rate.take("a")
    rate.take("a")
    with pytest.raises(TooManyRequests) as refused:
        rate.take("a")
    assert refused.value.extra["retry_after_seconds"] == 30
    clock[0] += 30
    rate.take("a")
    with pytest.raises(TooManyRequests):
        rate.take("a")


def test_callers_without_end_fill_no_memory() -> None:
    rate = Rate(1, "requests")
    for number in range(12_000):
        rate.take(str(number))
    assert len(rate._buckets) == 10_000


def test_so_many_at_once_and_no_more() -> None:
    async def ask() -> list[int]:
        go_on, statuses = asyncio.Event(), list[int]()

        async def wait(scope: Scope, receive: Receive, send: Send) -> None:
            await go_on.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        guarded = CallerBounds(wait, at_once=2, per_minute=100)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        def request(caller: str) -> Any:
            state = {"identity": Identity(caller=caller), "request_id": "req_1"}
            return guarded({"type": "http", "path": "/v1/jobs", "state": state}, None, send)  # type: ignore[arg-type]

        waiting = [asyncio.ensure_future(request("a")) for _ in range(2)]
        await asyncio.sleep(0)
        await request("a")
        other = asyncio.ensure_future(request("b"))
        go_on.set()
        await asyncio.gather(*waiting, other)
        await request("a")
        return statuses

    assert run_apart(ask()) == [429, 200, 200, 200, 200]

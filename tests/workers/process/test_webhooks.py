"""Webhooks are told what happened, by messages that can be verified, until they take them."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.processes.apart import run_apart
from support.processes.receiver import Receiver, receiving
from support.service import running_worker

from influence.contracts.common import now
from influence.contracts.curation.review import DecisionChange, Review
from influence.contracts.curation.webhook import EVENTS, Delivery, Event, EventName, Webhook
from influence.store import keys
from influence.store.data.told import make_event
from influence.store.data.webhooks import MAX_AGE_SECONDS, MAX_WAITING, PAUSES_SECONDS, SHOWN_DELIVERIES
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.process.webhooks import telling
from workers.process.webhooks.sending import NotTaken, send_event
from workers.process.webhooks.telling import AT_ONCE, begin_telling, put_out_events

SECRET = "whsec_" + "c2VjcmV0" * 6


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def add(
    store: Store, url: str, hook_id: str = "hook_1", events: tuple[EventName, ...] = EVENTS, space: str = "default"
) -> str:
    store.webhook_data.keep_secret(hook_id, SECRET)
    store.webhooks.create(Webhook(id=hook_id, url=url, events=events, namespace=space, created_at=now()))
    return hook_id


def end_job(store: Store, job_id: str = "job_1", end: str = "cancel", space: str = "default") -> None:
    store.jobs.create(job_id, "index", "idx_1", "/v1/indexes/idx_1", namespace=space)
    if end == "fail":
        store.jobs.fail(job_id, {"code": "row_too_long", "detail": "quotes a row"})
    else:
        getattr(store.jobs, end)(job_id)


def tell(store: Store, *, allow_private: bool = True) -> int:
    put_out_events(store)
    return tell_next(store, allow_private=allow_private)


def tell_next(store: Store, *, allow_private: bool) -> int:
    """Send the next message of each webhook whose turn it is; answers how many, once they were answered."""

    async def tell_them() -> int:
        begun = await begin_telling(store, AT_ONCE, allow_private=allow_private)
        await asyncio.gather(*begun)
        return len(begun)

    return run_apart(tell_them())


def make_due(store: Store, hook_id: str = "hook_1") -> None:
    """Its pause is over."""
    store.connections.state.zadd(keys.webhook_turns(), {hook_id: 0})


def waits_seconds(store: Store, hook_id: str = "hook_1") -> float | None:
    due: Any = store.connections.state.zscore(keys.webhook_turns(), hook_id)
    return None if due is None else due - now().timestamp()


@pytest.mark.parametrize("end", ["succeed", "fail", "cancel"])
def test_the_end_of_a_job_is_told_in_a_message_that_can_be_verified(store: Store, receiver: Receiver, end: str) -> None:
    add(store, f"{receiver.url}/a?b=c")
    end_job(store, end=end)
    assert tell(store) == 1
    (told,) = receiver.verified(SECRET)
    state = {"succeed": "succeeded", "fail": "failed", "cancel": "cancelled"}[end]
    assert told["type"] == f"job.{state}"
    assert told["data"] == {
        "job_id": "job_1",
        "state": state,
        "code": "row_too_long" if end == "fail" else None,
        "kind": "index",
        "resource_id": "idx_1",
        "resource": "/v1/indexes/idx_1",
    }
    assert tell(store) == 0
    (delivery,) = store.webhook_data.deliveries("hook_1")
    assert (delivery.delivered, delivery.status, delivery.attempt) == (True, 204, 1)
    assert receiver.headers[0]["webhook-id"] == delivery.event_id


def test_a_review_that_was_changed_is_told_without_its_rows(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    store.reviews.create(Review(id="rev_1", dataset_id="ds_1", rows=9, created_at=now()))
    change = DecisionChange(row_index=3, action="remove", note="a word of the row")
    store.review_data.change("rev_1", [change], by="ada", known=None)
    tell(store)
    (told,) = receiver.verified(SECRET)
    assert (told["type"], told["data"]) == (
        "review.updated",
        {"review_id": "rev_1", "version": 1, "rows": 1, "by": "ada", "dataset_id": "ds_1"},
    )


def test_only_what_was_asked_for_and_only_of_the_own_namespace(store: Store, receiver: Receiver) -> None:
    add(store, f"{receiver.url}/failures", "hook_1", ("job.failed",))
    add(store, f"{receiver.url}/others", "hook_2", space="team-b")
    end_job(store, "job_1", "cancel")
    end_job(store, "job_2", "fail")
    end_job(store, "job_3", "succeed", space="team-c")
    tell(store)
    assert [told["data"]["job_id"] for told in receiver.verified(SECRET)] == ["job_2"]
    assert store.webhook_data.events(10) == []


def test_a_job_that_was_deleted_before_anyone_was_told_is_told_of(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    end_job(store)
    store.jobs.delete("job_1")
    tell(store)
    assert receiver.verified(SECRET)[0]["data"]["job_id"] == "job_1"


def test_what_is_not_taken_is_sent_again_after_pauses_that_grow(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    end_job(store)
    receiver.statuses = [500, 429, 302]
    for attempt, pause in enumerate(PAUSES_SECONDS[:3], 1):
        assert tell(store) == 1
        assert tell(store) == 0  # not before its pause is over
        waits = waits_seconds(store)
        assert waits is not None
        assert 0 < waits <= pause
        assert attempt == 1 or waits > PAUSES_SECONDS[attempt - 2]
        make_due(store)
    assert tell(store) == 1
    ids = {headers["webhook-id"] for headers in receiver.headers}
    assert (len(receiver.bodies), len(ids), len(set(receiver.bodies))) == (4, 1, 1)
    shown = store.webhook_data.deliveries("hook_1")
    assert [(one.attempt, one.status, one.delivered) for one in shown] == [
        (4, 204, True),
        (3, 302, False),
        (2, 429, False),
        (1, 500, False),
    ]
    assert [one.next_at is None for one in shown] == [True, False, False, False]
    assert waits_seconds(store) is None


def test_a_redirect_is_not_followed(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    end_job(store)
    receiver.statuses = [307]
    tell(store)
    assert len(receiver.bodies) == 1
    assert store.webhook_data.deliveries("hook_1")[0].error == "Redirects are not followed."


def test_after_a_failure_nothing_else_is_sent_there_until_the_pause_is_over(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    for number in range(3):
        end_job(store, f"job_{number}")
    receiver.statuses = [503]
    assert [tell(store), tell(store)] == [1, 0]
    make_due(store)
    while tell(store):
        pass
    told = [one["data"]["job_id"] for one in receiver.verified(SECRET)]
    assert told == ["job_0", "job_1", "job_2", "job_0"]  # what may be its own fault goes behind the others


def test_a_failure_is_forgotten_once_something_was_taken(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    receiver.statuses = [500, 500, 204, 500]
    end_job(store)
    for _ in range(3):
        tell(store)
        make_due(store)
    end_job(store, "job_2")
    tell(store)
    waits = waits_seconds(store)
    assert waits is not None
    assert waits <= PAUSES_SECONDS[0]


def test_whoever_dies_with_a_message_in_hand_leaves_it_to_be_sent_again(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    end_job(store)
    put_out_events(store)
    (held,) = store.webhook_data.take_turns(5, 60)
    assert store.webhook_data.take_turns(5, 60) == []  # one address is told one thing at a time
    make_due(store)  # a minute later
    assert tell_next(store, allow_private=True) == 1
    assert receiver.headers[0]["webhook-id"] == held.event.id


def test_two_who_put_out_the_same_event_make_one_message_of_it(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    end_job(store)
    (kept,) = store.webhook_data.events(10)
    event = Event.model_validate_json(kept)
    for _ in range(2):
        store.webhook_data.put_out(kept, event, ["hook_1"])
    assert store.webhook_data.waiting("hook_1") == 1


def test_what_was_never_taken_is_given_up_when_it_is_old(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    event = make_event("job.failed", {"job_id": "job_1"}, "default")
    old = event.model_copy(update={"timestamp": now() - timedelta(seconds=MAX_AGE_SECONDS + 1)})
    store.webhook_data.put_first("hook_1", old)
    receiver.statuses = [500]
    tell(store)
    assert store.webhook_data.waiting("hook_1") == 0
    (delivery,) = store.webhook_data.deliveries("hook_1")
    assert (delivery.delivered, delivery.next_at) == (False, None)


def test_of_what_waits_for_ever_the_oldest_leaves(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    for number in range(3):
        text = make_event("job.failed", {"job_id": f"job_{number}"}, "default")
        pipeline = store.connections.state.pipeline()
        for _ in range(MAX_WAITING // 2):
            pipeline.rpush(keys.webhook_events(), text.model_dump_json())
        pipeline.execute()
    while put_out_events(store):
        pass
    assert store.webhook_data.waiting("hook_1") == MAX_WAITING
    assert store.webhook_data.take_turns(1, 60)[0].event.data == {"job_id": "job_1"}


def test_the_last_attempts_are_shown_and_no_more(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    for number in range(SHOWN_DELIVERIES + 2):
        end_job(store, f"job_{number}")
    while tell(store):
        pass
    assert len(receiver.bodies) == SHOWN_DELIVERIES + 2
    assert len(store.webhook_data.deliveries("hook_1")) == SHOWN_DELIVERIES


def test_a_webhook_that_is_deleted_while_it_is_told_leaves_nothing(store: Store, receiver: Receiver) -> None:
    add(store, receiver.url)
    end_job(store)
    put_out_events(store)
    (held,) = store.webhook_data.take_turns(5, 60)
    store.webhooks.delete("hook_1")
    store.webhook_data.delete("hook_1")
    outcome = Delivery(event_id=held.event.id, type="job.cancelled", attempt=1, at=now(), delivered=True, status=204)
    store.webhook_data.settle(held, outcome)
    store.webhook_data.put_first("hook_1", held.event)  # by whoever had read the webhook before
    assert tell(store) == 0
    assert [name for name in store.connections.state.scan_iter() if b"hook_1" in name] == []
    assert receiver.bodies == []


@pytest.mark.parametrize("where", ["url", "name"])
def test_a_private_address_is_not_called_whatever_its_name_was_when_it_was_registered(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    port = receiver.url.rpartition(":")[2]
    add(store, receiver.url if where == "url" else f"http://hooks.example:{port}/")
    resolve_to(monkeypatch, "127.0.0.1", port)
    end_job(store)
    tell(store, allow_private=False)
    assert receiver.bodies == []
    assert "is not a public address" in (store.webhook_data.deliveries("hook_1")[0].error or "")


def test_the_name_is_asked_once_and_the_address_that_was_looked_at_is_called(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = receiver.url.rpartition(":")[2]
    add(store, f"http://hooks.example:{port}/")
    asked = resolve_to(monkeypatch, "127.0.0.1", port)
    end_job(store)
    tell(store)
    assert receiver.headers[0]["host"] == f"hooks.example:{port}"
    assert asked == ["hooks.example"]


def resolve_to(monkeypatch: pytest.MonkeyPatch, address: str, port: str) -> list[str]:
    """Have the resolver of this machine know a name; answers the names that it is asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *given: Any, **named: Any) -> Any:
        if host != "hooks.example":
            return real(host, *given, **named)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port)))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_that_nobody_knows_is_a_failure_like_any_other(store: Store) -> None:
    add(store, "http://nobody.invalid/")
    end_job(store)
    assert tell(store) == 1
    assert "resolver" in (store.webhook_data.deliveries("hook_1")[0].error or "")
    assert store.webhook_data.waiting("hook_1") == 1


def test_whoever_does_not_answer_is_left_after_so_many_seconds(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        add(store, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        event = make_event("job.failed", {}, "default")
        url = store.webhooks.require("hook_1").url
        with pytest.raises(NotTaken, match=r"No answer within 0\.2 seconds"):
            run_apart(send_event(url, SECRET, event, allow_private=True, timeout_seconds=0.2))


@pytest.mark.parametrize("what", ["event", "message", "secret", "failures", "turn"])
def test_what_was_garbled_holds_nobody_else_up(store: Store, receiver: Receiver, what: str) -> None:
    state: Any = store.connections.state
    add(store, receiver.url)
    add(store, receiver.url, "hook_2")
    if what == "event":
        for about in ({}, {"review_id": "no:id"}):
            state.rpush(keys.webhook_events(), make_event("review.updated", about).model_dump_json())
        state.rpush(keys.webhook_events(), b"\xff{")
    end_job(store)
    put_out_events(store)
    if what == "message":
        state.lset(keys.webhook_messages("hook_1"), 0, b"\xff{")
    elif what in ("secret", "failures"):
        state.hset(keys.webhook_state("hook_1"), what, b"\xff")
    elif what == "turn":
        state.zadd(keys.webhook_turns(), {b"\xff x": 0})
    tell_next(store, allow_private=True)
    assert store.webhook_data.deliveries("hook_2")[0].delivered
    assert what != "failures" or store.webhook_data.deliveries("hook_1")[0].delivered
    assert store.webhook_data.events(10) == []


def test_a_worker_tells_webhooks_beside_its_work(
    server: EmbeddedServer, store: Store, tmp_path: Path, receiver: Receiver, wait_until: Callable[..., None]
) -> None:
    add(store, receiver.url)
    with running_worker(server.url, tmp_path, webhook_private_addresses=True):
        end_job(store)
        wait_until(lambda: store.webhook_data.deliveries("hook_1"), "the webhook was told")
    assert receiver.verified(SECRET)[0]["data"]["job_id"] == "job_1"


def test_whoever_does_not_answer_keeps_no_other_waiting(
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    receiver: Receiver,
    wait_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telling, "send_event", partial(send_event, timeout_seconds=3600.0))
    with (
        running_worker(server.url, tmp_path, webhook_private_addresses=True),
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        add(store, f"http://127.0.0.1:{silent.getsockname()[1]}/", "hook_2")
        add(store, receiver.url)
        for told in (1, 2, 3):
            end_job(store, f"job_{told}")
            wait_until(lambda told=told: len(receiver.bodies) == told, f"message {told} came")
        assert store.webhook_data.deliveries("hook_2") == (), "its first message is still being sent"
    assert not store.webhook_data.deliveries("hook_2")[0].delivered

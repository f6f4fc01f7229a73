"""A server that takes no writes leaves no message in the hands of a living worker, nor a job running for ever."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError
from support.answered import present
from support.evaluations import Squares, squares_request
from support.service import running_worker
from support.work import submit_evaluation

from influence.store.connections import Connections, connect
from influence.store.embedded import EmbeddedServer
from influence.store.queue import make_broker
from influence.store.store import Store
from workers.process import held, worker
from workers.process.held import HeldMessages, InHand
from workers.runtime.state import Runtime

Wait = Callable[..., None]
BROKER = "host-0:query"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of this test's own: it is told to take no writes."""
    embedded = EmbeddedServer(tmp_path / "own")
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture
def connected(own: EmbeddedServer) -> Iterator[Connections]:
    made = connect(own.url)
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that look often for what they hold."""
    monkeypatch.setattr(worker, "ANNOUNCE_SECONDS", 0.05)
    monkeypatch.setattr(held, "STRANDED_SECONDS", 0.5)


def take_writes(connections: Connections, *, are_taken: bool) -> None:
    """Let the server refuse writes for a reason other than its memory: too few replicas."""
    connections.state.config_set("min-replicas-to-write", 0 if are_taken else 1)


def is_refused(connections: Connections) -> bool:
    with pytest.raises(ResponseError, match="NOREPLICAS"):
        connections.state.set("probe", 1)
    return True


@pytest.mark.usefixtures("impatient")
def test_work_in_hand_is_given_back_when_the_server_takes_no_writes(
    own: EmbeddedServer, connected: Connections, tmp_path: Path, finished: Any, wait_until: Wait
) -> None:
    store, refused = Store(connected), threading.Event()

    def refuse(number: int) -> None:
        if number == 1 and not refused.is_set():
            take_writes(connected, are_taken=False)
            refused.set()

    kind = Squares(before=refuse)
    kind.go.set()
    with running_worker(own.url, tmp_path / "data", kinds={"lds": kind}) as runtime:
        asked = submit_evaluation(store, squares_request(4))
        wait_until(refused.is_set, "writes are refused")
        assert is_refused(connected)
        wait_until(lambda: names_held(store, runtime), "the piece is held, its result not written")
        wait_until(lambda: kind.runs.count((runtime.name, 1)) == 1 and not runtime.attempts, "and not worked on")
        assert store.jobs.require(asked.job_id).state == "running"
        take_writes(connected, are_taken=True)
        assert finished(store, asked.job_id).state == "succeeded"
        wait_until(lambda: not names_held(store, runtime), "nothing is held")
    assert present(store.evaluations.require(asked.id).report).figures == {"squares": [0, 1, 4, 9]}


def names_held(store: Store, runtime: Runtime) -> set[str]:
    return {name for names in store.queue.held(f"{runtime.name}:build", "build").values() for name in names}


@pytest.mark.usefixtures("impatient")
def test_the_server_may_refuse_for_longer_than_a_message_is_tried_again(
    own: EmbeddedServer, connected: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Any
) -> None:
    monkeypatch.setattr(held, "_FIRST_WAIT_MS", 1)
    monkeypatch.setattr(held, "_LAST_WAIT_MS", 2)
    refusals = iter(range(30))

    def refuse(_number: int) -> None:
        if next(refusals, None) is not None:
            raise ResponseError("MISCONF Errors writing to the AOF file: No space left on device")

    kind = Squares(before=refuse)
    kind.go.set()
    store = Store(connected)
    with running_worker(own.url, tmp_path / "data", kinds={"lds": kind}):
        asked = submit_evaluation(store, squares_request(4))
        assert finished(store, asked.job_id).state == "succeeded"
    assert len(kind.runs) == 4 + 30


def fetch(store: Store, count: int) -> list[Any]:
    """A consumer fetches messages and is lost with them."""
    broker = make_broker(store.connections.state, queues=("query",))
    broker.broker_id = BROKER
    consumer = broker.consume("query", prefetch=count)
    return [next(consumer) for _ in range(count)]


def test_only_what_is_held_for_long_and_not_worked_on_goes_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        store.queue.submit("answer_query", query_id=f"qry_{number}")
    first, second = fetch(store, 2)
    in_hand = InHand()
    broker = make_broker(store.connections.state, queues=())
    in_hand.before_process_message(broker, first)
    messages = HeldMessages(store.queue, BROKER, "query", in_hand)
    assert messages.put_back_stranded() == 0  # the other was fetched just now
    monkeypatch.setattr(held, "STRANDED_SECONDS", 0.0)
    assert messages.put_back_stranded() == 1
    assert store.queue.held(BROKER, "query")["query"] == {first.options["redis_message_id"]}
    assert messages.put_back_stranded() == 0
    in_hand.after_process_message(broker, first)
    assert messages.put_back_stranded() == 1
    again = [message.kwargs["query_id"] for message in fetch(store, 3)]
    assert again == ["qry_2", second.kwargs["query_id"], first.kwargs["query_id"]]


def test_what_was_acknowledged_meanwhile_is_not_put_back(store: Store) -> None:
    store.queue.submit("answer_query", query_id="qry_a")
    (message,) = fetch(store, 1)
    name = message.options["redis_message_id"]
    broker = make_broker(store.connections.state, queues=("query",))
    broker.broker_id = BROKER
    broker.consume("query").ack(message)
    assert store.queue.put_back(BROKER, "query", [name]) == 0
    assert store.queue.depth("query") == 0

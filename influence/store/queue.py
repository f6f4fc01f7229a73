"""The work queue: a small port over Dramatiq's Redis broker.

Messages are JSON: an actor's name and plain keyword arguments. An actor's queue is that of its kind of work.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

import redis
import structlog
from dramatiq import ConnectionClosed, Consumer, DecodeError, Message, Middleware
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import dq_name

from influence.contracts.work import KIND_OF_ACTOR, QUEUES, QueueName
from influence.process.tracing import carry
from influence.store import keys
from influence.store.connections import StoreFullError, as_text

log = structlog.get_logger()

#: KEYS: what a broker holds, the queue, its messages. ARGV: a message's name. Answers 1 when it was put back.
_PUT_BACK = """
if redis.call('SREM', KEYS[1], ARGV[1]) == 0 or redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[1])
return 1
"""
#: KEYS: the queue, its messages. ARGV: actors that go first. Puts the queue in its fair order; see `Queue.share`.
#: A message's job and actor are found in its text. The new order is written behind the old one, which then goes: what
#: breaks off in between has left messages twice, never lost one.
_SHARE = """
local names = redis.call('LRANGE', KEYS[1], 0, -1)
local goes_first, turns, order, sorted = {}, {}, {}, true
for _, actor in ipairs(ARGV) do goes_first[actor] = true end
for start = 1, #names, 1000 do
  local stop = math.min(start + 999, #names)
  local texts = redis.call('HMGET', KEYS[2], unpack(names, start, stop))
  for offset, text in ipairs(texts) do
    local place, turn = start + offset - 1, 0
    if not goes_first[string.match(text or '', '"actor_name":"([^"]*)"') or ''] then
      local job = string.match(text or '', '"job_id":"([^"]*)"') or ''
      turn = (turns[job] or 0) + 1
      turns[job] = turn
    end
    order[place] = {turn, place}
    if place > 1 and order[place - 1][1] > turn then sorted = false end
  end
end
if sorted then return 0 end
table.sort(order, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
for start = 1, #order, 1000 do
  local part = {}
  for place = start, math.min(start + 999, #order) do part[#part + 1] = names[order[place][2]] end
  redis.call('RPUSH', KEYS[1], unpack(part))
end
redis.call('LTRIM', KEYS[1], #names, -1)
return 1
"""
#: Actors that go first, by queue; one without any is served in the order of arrival.
_FIRST: dict[QueueName, list[str]] = {
    queue: [actor for actor, kind in KIND_OF_ACTOR.items() if kind.queue == queue and kind.goes_first(actor)]
    for queue in QUEUES
}
#: Longer than any stretch in which a worker holds the interpreter, such as loading a model.
HEARTBEAT_TIMEOUT_MS = 45_000
#: Dramatiq's pause between two looks at a queue without messages, where the one who sends wakes the one who looks.
_SHORTEST_POLL_MS = 1
#: Option of a message: the trace that it was sent in.
TRACE = "trace"
#: Messages at either end of a queue that its age is told by.
_ENDS = 64
#: Run the queue's maintenance at every fetch: the default leaves a killed worker's shard lying for minutes.
MAINTENANCE_CHANCE = 1_000_000


class _Broker(RedisBroker):
    """Looks at what waits to be tried again less often than at what waits to be done.

    Each look is a call to the server, and an idle worker's time goes into nothing else. The one who sends to a worker's
    own queue wakes it.
    """

    delayed_poll_ms: int = 0
    is_woken: bool = False

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        waits_long = queue_name == dq_name(queue_name)
        if waits_long or not self.is_woken:
            return super().consume(queue_name, prefetch, max(timeout, self.delayed_poll_ms) if waits_long else timeout)
        found = super().consume(queue_name, prefetch, timeout=_SHORTEST_POLL_MS)
        return _Woken(found, self.client, keys.wake(queue_name), timeout / 1000)


class _Woken(Consumer):
    """Another consumer's messages; without any it waits to be woken, so many seconds at most."""

    def __init__(self, consumer: Consumer, client: redis.Redis, key: str, seconds: float) -> None:
        self._consumer = consumer
        self._client = client
        self._key = key
        self._seconds = seconds

    def ack(self, message: Any) -> None:
        self._consumer.ack(message)

    def nack(self, message: Any) -> None:
        self._consumer.nack(message)

    def requeue(self, messages: Iterable[Any]) -> None:
        self._consumer.requeue(messages)

    def close(self) -> None:
        self._consumer.close()

    def __next__(self) -> Any:
        message = next(self._consumer)
        if message is None:
            try:
                self._client.blpop([self._key], timeout=self._seconds)
            except redis.ConnectionError as error:
                raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        return message


def make_broker(
    client: redis.Redis,
    *,
    queues: tuple[str, ...] = QUEUES,
    middleware: list[Middleware] | None = None,
    delayed_poll_ms: int = 0,
    is_woken: bool = False,
) -> RedisBroker:
    """A broker on the state server. `middleware` is what runs around actors; senders need none.

    `delayed_poll_ms` is the longest pause between looks at messages that wait to be tried again, where that between
    looks at the others is shorter. Who sends to a worker's own queue wakes a broker that `is_woken`.
    """
    broker = _Broker(  # type: ignore[no-untyped-call]
        client=client,
        middleware=middleware or [],
        namespace=keys.QUEUE_NAMESPACE,
        maintenance_chance=MAINTENANCE_CHANCE,
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
    )
    broker.delayed_poll_ms, broker.is_woken = delayed_poll_ms, is_woken
    for name in queues:
        broker.declare_queue(name)
    return broker


class Queue:
    """Submit work, and see what lies in the queue."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._broker = make_broker(client)
        self._put_back = client.register_script(_PUT_BACK)
        self._share = client.register_script(_SHARE)

    def submit(self, actor: str, **arguments: Any) -> None:
        """Put one message on the actor's queue, at its place there. Delivered at least once."""
        self.submit_all(actor, [arguments])

    def submit_all(self, actor: str, messages: Iterable[Mapping[str, Any]]) -> None:
        """Put messages of one actor on its queue, given by their arguments, at their places there."""
        queue, carried = KIND_OF_ACTOR[actor].queue, carry()
        options = {TRACE: carried} if carried else {}
        for arguments in messages:
            self._broker.enqueue(Message(queue, actor, args=(), kwargs=dict(arguments), options=dict(options)))
        self.share(queue)

    def send_to(self, worker_name: str, actor: str, messages: Iterable[Mapping[str, Any]]) -> None:
        """Put messages of one actor on a worker's own queue, in their order; no other worker takes them."""
        queue, carried = keys.own_queue(worker_name), carry()
        for arguments in messages:
            options = {TRACE: carried} if carried else {}
            self._broker.enqueue(Message(queue, actor, args=(), kwargs=dict(arguments), options=options))
        self._client.rpush(keys.wake(queue), 1)
        # The worker may have said goodbye meanwhile.
        for name in (_full(queue), f"{_full(queue)}.msgs", keys.wake(queue)):
            self._client.expire(name, keys.SCAN_SECONDS)

    def share(self, queue: QueueName) -> None:
        """Put the messages of a queue whose work is done in many pieces in their fair order.

        First what its kind of work lets go first, then one message of each job in turn, each job's in their own order
        and jobs by who came first: a small job is done after as many turns as it has pieces, whatever waits beside it,
        and no job waits longer than for one piece of each other. A server without room leaves the order as it is.
        """
        if first := _FIRST[queue]:
            with suppress(StoreFullError):
                self._share(keys=[_full(queue), f"{_full(queue)}.msgs"], args=first)

    def waiting(self, queue: QueueName) -> list[tuple[str, dict[str, Any]]]:
        """(actor, arguments) of every message queued or being worked on, retries included.

        One that cannot be read goes to the dead letters, where it stands in nobody's way.
        """
        found = []
        for part in _parts(queue):
            for name, text in cast("dict[bytes, bytes]", self._client.hgetall(f"{_full(part)}.msgs")).items():
                message = _read(text)
                if message is None:
                    self._bury(part, name, text)
                else:
                    found.append((message.actor_name, message.kwargs))
        return found

    def _bury(self, part: str, name: bytes, text: bytes) -> None:
        log.error("a message cannot be read; it goes to the dead letters", queue=part, message=repr(name[:80]))
        queue, dead = _full(part), f"{_full(part.removesuffix('.DQ'))}.XQ"
        pipeline = self._client.pipeline()
        pipeline.hset(f"{dead}.msgs", name, text)
        pipeline.zadd(dead, {name: int(time.time() * 1000)})
        pipeline.hdel(f"{queue}.msgs", name)
        pipeline.lrem(queue, 0, name)  # type: ignore[arg-type]
        pipeline.execute()

    def submit_following(self, actor: str, **arguments: Any) -> None:
        """Put the next turn of work that is done in turns on the queue, unless a message beside this one stands for it.

        Called by the one who works on a message of the same actor and arguments: a message that was delivered twice
        would otherwise have two followers for ever.
        """
        if self.waiting(KIND_OF_ACTOR[actor].queue).count((actor, arguments)) < 2:
            self.submit(actor, **arguments)

    def depth(self, queue: QueueName) -> int:
        """How many messages wait or are being worked on."""
        return int(self._client.hlen(f"{keys.QUEUE_NAMESPACE}:{queue}.msgs"))

    def oldest_seconds(self, queue: QueueName) -> float:
        """For how long the oldest message has waited, of the first and the last that no worker has taken; 0 for none.

        Those in between are younger: who comes last goes to the end, and so does what was put back.
        """
        name = _full(queue)
        ends = [*self._client.lrange(name, 0, _ENDS - 1), *self._client.lrange(name, -_ENDS, -1)]
        texts = cast("list[bytes | None]", self._client.hmget(f"{name}.msgs", ends)) if ends else []
        found = [message for text in texts if text is not None and (message := _read(text)) is not None]
        sent = [message.message_timestamp for message in found]
        return max(0.0, time.time() - min(sent) / 1000) if sent else 0.0

    def held(self, broker_id: str, queue: str) -> dict[str, set[str]]:
        """Names of the messages that a broker has fetched and not given back, by the part of the queue they lie in."""
        return {
            part: {as_text(name) for name in cast("set[bytes]", self._client.smembers(_held(broker_id, part)))}
            for part in _parts(queue)
        }

    def put_back(self, broker_id: str, part: str, names: Iterable[str]) -> int:
        """Put back messages that a broker holds, each once however often it is tried; answers how many."""
        keys_of_part = [_held(broker_id, part), _full(part), f"{_full(part)}.msgs"]
        count = sum(int(self._put_back(keys=keys_of_part, args=[name])) for name in names)
        for queue in QUEUES:
            if count and part == queue:
                self.share(queue)
        return count

    def reclaim(self, broker_id: str, queues: Iterable[str] = QUEUES) -> int:
        """Put back at once what a dead process of the same name had fetched; answers how many messages."""
        held = [found for queue in queues for found in self.held(broker_id, queue).items()]
        return sum(self.put_back(broker_id, part, names) for part, names in held)


def _parts(queue: str) -> tuple[str, str]:
    """A queue and its messages that wait for a retry."""
    return queue, f"{queue}.DQ"


def _full(part: str) -> str:
    return f"{keys.QUEUE_NAMESPACE}:{part}"


def _held(broker_id: str, part: str) -> str:
    return f"{keys.QUEUE_NAMESPACE}:__acks__.{broker_id}.{part}"


def _read(text: bytes) -> Message[Any] | None:
    """A message, or None where the bytes are none."""
    try:
        message: Message[Any] = Message.decode(text)
    except DecodeError:
        return None
    fits = isinstance(message.actor_name, str), isinstance(message.kwargs, dict), isinstance(message.options, dict)
    return message if all(fits) else None

"""The work queue: a small port over Dramatiq's Redis broker.

Messages are JSON: an actor's name and plain keyword arguments. An actor's queue is that of its kind of work.
"""

import time
from collections.abc import Iterable
from typing import Any, cast

import redis
import structlog
from dramatiq import DecodeError, Message, Middleware
from dramatiq.brokers.redis import RedisBroker

from influence.contracts.work import KIND_OF_ACTOR, QUEUES, QueueName
from influence.process.tracing import carry
from influence.store import keys

log = structlog.get_logger()

#: KEYS: what a broker holds, the queue, its messages. ARGV: a message's name. Answers 1 when it was put back.
_PUT_BACK = """
if redis.call('SREM', KEYS[1], ARGV[1]) == 0 or redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[1])
return 1
"""
#: KEYS: the queue. ARGV: a message's name. Nothing where a worker was quicker.
_MOVE_FIRST = """
if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 1 then redis.call('LPUSH', KEYS[1], ARGV[1]) end
"""
#: Longer than any stretch in which a worker holds the interpreter, such as loading a model.
HEARTBEAT_TIMEOUT_MS = 45_000
#: Option of a message: the trace that it was sent in.
TRACE = "trace"
#: Messages at either end of a queue that its age is told by.
_ENDS = 64
#: Run the queue's maintenance at every fetch: the default leaves a killed worker's shard lying for minutes.
MAINTENANCE_CHANCE = 1_000_000


def make_broker(
    client: redis.Redis, *, queues: tuple[QueueName, ...] = QUEUES, middleware: list[Middleware] | None = None
) -> RedisBroker:
    """A broker on the state server. `middleware` is what runs around actors; senders need none."""
    broker = RedisBroker(  # type: ignore[no-untyped-call]
        client=client,
        middleware=middleware or [],
        namespace=keys.QUEUE_NAMESPACE,
        maintenance_chance=MAINTENANCE_CHANCE,
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
    )
    for name in queues:
        broker.declare_queue(name)
    return broker


class Queue:
    """Submit work, and see what lies in the queue."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._broker = make_broker(client)
        self._put_back = client.register_script(_PUT_BACK)
        self._move_first = client.register_script(_MOVE_FIRST)

    def submit(self, actor: str, **arguments: Any) -> None:
        """Put one message on the actor's queue, first where its kind of work says so. Delivered at least once."""
        kind = KIND_OF_ACTOR[actor]
        carried = carry()
        options = {TRACE: carried} if carried else {}
        message: Message[Any] = Message(kind.queue, actor, args=(), kwargs=arguments, options=options)
        sent = self._broker.enqueue(message)
        if kind.goes_first(actor):
            self._move_first(keys=[_full(kind.queue)], args=[sent.options["redis_message_id"]])

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

    def held(self, broker_id: str, queue: QueueName) -> dict[str, set[str]]:
        """Names of the messages that a broker has fetched and not given back, by the part of the queue they lie in."""
        return {
            part: {name.decode() for name in cast("set[bytes]", self._client.smembers(_held(broker_id, part)))}
            for part in _parts(queue)
        }

    def put_back(self, broker_id: str, part: str, names: Iterable[str]) -> int:
        """Put back messages that a broker holds, each once however often it is tried; answers how many."""
        keys_of_part = [_held(broker_id, part), _full(part), f"{_full(part)}.msgs"]
        return sum(int(self._put_back(keys=keys_of_part, args=[name])) for name in names)

    def reclaim(self, broker_id: str) -> int:
        """Put back at once what a dead process of the same name had fetched; answers how many messages."""
        held = [found for queue in QUEUES for found in self.held(broker_id, queue).items()]
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

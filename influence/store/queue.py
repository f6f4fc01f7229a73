"""The work queue: a small port over Dramatiq's Redis broker.

Messages are JSON: an actor's name and plain keyword arguments. An actor's queue is that of its kind of work.
"""

import json
from typing import Any

import redis
from dramatiq import Message, Middleware
from dramatiq.brokers.redis import RedisBroker

from influence.contracts.work import KIND_OF_ACTOR, QUEUES, QueueName
from influence.store import keys

#: Longer than any stretch in which a worker holds the interpreter, such as loading a model.
HEARTBEAT_TIMEOUT_MS = 45_000
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

    def submit(self, actor: str, **arguments: Any) -> None:
        """Put one message on the actor's queue. Delivery is at least once."""
        message: Message[Any] = Message(
            queue_name=KIND_OF_ACTOR[actor].queue, actor_name=actor, args=(), kwargs=arguments, options={}
        )
        self._broker.enqueue(message)

    def waiting(self, queue: QueueName) -> list[tuple[str, dict[str, Any]]]:
        """(actor, arguments) of every message queued or being worked on, retries included."""
        texts = [
            text
            for name in (f"{keys.QUEUE_NAMESPACE}:{queue}.msgs", f"{keys.QUEUE_NAMESPACE}:{queue}.DQ.msgs")
            for text in self._client.hvals(name)
        ]
        return [(message["actor_name"], message["kwargs"]) for message in map(json.loads, texts)]

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

    def reclaim(self, broker_id: str) -> int:
        """Put back at once what a dead process of the same name had fetched; answers how many messages."""
        count = 0
        for queue in QUEUES:
            for name in (queue, f"{queue}.DQ"):
                held = f"{keys.QUEUE_NAMESPACE}:__acks__.{broker_id}.{name}"
                count += self._put_back(held, f"{keys.QUEUE_NAMESPACE}:{name}")
        return count

    def _put_back(self, held: str, queue: str) -> int:
        messages = list(self._client.smembers(held))
        pipeline = self._client.pipeline()
        for message in messages:
            pipeline.rpush(queue, message)
        pipeline.delete(held)
        pipeline.execute()
        return len(messages)

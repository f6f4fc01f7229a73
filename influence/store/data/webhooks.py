"""What webhooks are still to be told. An event goes from the outbox to the messages of each webhook, where it stays
until it was taken or given up. Each step is one transaction: whoever dies leaves a message that is sent again.

A webhook has its turn when its next message is due, and whoever takes the turn holds it: so that one address is told
one thing at a time, and one that does not answer is left alone for a while, however much there is to tell it.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import redis
import structlog

from influence.contracts.common import Frozen, now
from influence.contracts.curation.webhook import Delivery, Event
from influence.store import keys
from influence.store.connections import as_text

log = structlog.get_logger()

#: Attempts that are shown.
SHOWN_DELIVERIES = 20
#: Messages that wait for one webhook at most; beyond them the oldest leave.
MAX_WAITING = 1000
#: Pauses of a webhook after attempts that failed in a row; the last one repeats.
PAUSES_SECONDS = (5, 30, 120, 600, 1800, 3600)
#: A message is given up when the event is so old.
MAX_AGE_SECONDS = 36 * 3600

#: KEYS: events, turns, messages of each webhook. ARGV: the event as it is kept, the moment, most messages, the message,
#: webhooks. Whoever comes second finds the event gone, and puts nothing out.
_PUT_OUT = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
for i = 5, #ARGV do
  redis.call('RPUSH', KEYS[i - 2], ARGV[4])
  redis.call('LTRIM', KEYS[i - 2], -tonumber(ARGV[3]), -1)
  redis.call('ZADD', KEYS[2], 'NX', ARGV[2], ARGV[i])
end
return 1
"""
#: KEYS: turns. ARGV: the moment, until when whoever asks holds what it gets, most webhooks.
_TAKE_TURNS = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, name in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], name) end
return due
"""
#: KEYS: turns, messages, state, deliveries. ARGV: webhook, the message as it is kept, what takes its place or '', when
#: the next turn is, failures in a row, the outcome, outcomes to keep. Of a webhook that was deleted
#: meanwhile nothing is written.
_SETTLE = """
if redis.call('HEXISTS', KEYS[3], 'secret') == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
if redis.call('LREM', KEYS[2], 1, ARGV[2]) == 1 and ARGV[3] ~= '' then redis.call('RPUSH', KEYS[2], ARGV[3]) end
redis.call('HSET', KEYS[3], 'failures', ARGV[5])
redis.call('LPUSH', KEYS[4], ARGV[6])
redis.call('LTRIM', KEYS[4], 0, ARGV[7] - 1)
if redis.call('LLEN', KEYS[2]) == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
"""


#: KEYS: turns, messages. ARGV: webhook. One that has nothing to be told has no turn.
_REST = "if redis.call('LLEN', KEYS[2]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end"


class _Message(Frozen):
    event: Event
    attempt: int = 1


@dataclass(frozen=True)
class Turn:
    """The next message of a webhook, held by whoever asked; `failures` are the attempts in a row that failed before."""

    webhook_id: str
    secret: str
    event: Event
    attempt: int
    failures: int
    kept: bytes

    @property
    def again_at(self) -> float:
        """When the webhook has its next turn if this attempt fails, in seconds since 1970."""
        return time.time() + PAUSES_SECONDS[min(self.failures, len(PAUSES_SECONDS) - 1)]

    @property
    def is_last(self) -> bool:
        """Whether the message is given up if this attempt fails."""
        return now() - self.event.timestamp > timedelta(seconds=MAX_AGE_SECONDS)


class WebhookData:
    """Secrets, messages and outcomes of all webhooks."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._put_out = client.register_script(_PUT_OUT)
        self._take_turns = client.register_script(_TAKE_TURNS)
        self._settle = client.register_script(_SETTLE)
        self._rest = client.register_script(_REST)

    def keep_secret(self, webhook_id: str, secret: str) -> None:
        """Keep what a webhook's messages are signed with."""
        self._client.hset(keys.webhook_state(webhook_id), "secret", secret)

    def secret(self, webhook_id: str) -> str | None:
        """What its messages are signed with."""
        found = cast("bytes | None", self._client.hget(keys.webhook_state(webhook_id), "secret"))
        return None if found is None else as_text(found)

    def events(self, most: int) -> list[bytes]:
        """The oldest events that are in no webhook's messages yet, as they are kept."""
        return cast("list[bytes]", self._client.lrange(keys.webhook_events(), 0, most - 1))

    def put_out(self, kept: bytes, event: Event | None, webhook_ids: Iterable[str]) -> None:
        """Turn an event into a message of each of the webhooks; one that cannot be read is dropped."""
        told = [] if event is None else list(webhook_ids)
        names = [keys.webhook_events(), keys.webhook_turns(), *map(keys.webhook_messages, told)]
        text = "" if event is None else _Message(event=event).model_dump_json()
        self._put_out(keys=names, args=[kept, time.time(), MAX_WAITING, text, *told])

    def put_first(self, webhook_id: str, event: Event) -> None:
        """Let a webhook be told of an event now, before all else that waits."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.lpush(keys.webhook_messages(webhook_id), _Message(event=event).model_dump_json())
        pipeline.zadd(keys.webhook_turns(), {webhook_id: time.time()})
        pipeline.execute()

    def take_turns(self, most: int, hold_seconds: float) -> list[Turn]:
        """The next messages of webhooks whose turn it is, ours for so long: it is theirs again then, unless settled."""
        moment = time.time()
        due = self._take_turns(keys=[keys.webhook_turns()], args=[moment, moment + hold_seconds, most])
        found = [self._read_turn(name) for name in cast("list[bytes]", due)]
        return [turn for turn in found if turn is not None]

    def _read_turn(self, name: bytes) -> Turn | None:
        """Its oldest message, or None where there is none: what waits for a webhook that is gone goes, too."""
        webhook_id = name.decode(errors="replace")
        if not keys.is_id(webhook_id):
            self._client.zrem(keys.webhook_turns(), name)
            return None
        state = self._client.hmget(keys.webhook_state(webhook_id), ["secret", "failures"])
        secret, failures = cast("list[bytes | None]", state)
        if secret is None:
            self.delete(webhook_id)
            return None
        kept = cast("bytes | None", self._client.lindex(keys.webhook_messages(webhook_id), 0))
        if kept is None:
            self._rest(keys=[keys.webhook_turns(), keys.webhook_messages(webhook_id)], args=[webhook_id])
            return None
        try:
            message = _Message.model_validate_json(kept)
            return Turn(webhook_id, secret.decode(), message.event, message.attempt, _count(failures), kept)
        except ValueError as error:
            log.error("a webhook's message cannot be read", webhook_id=webhook_id, error=str(error)[:200])
            self._client.lrem(keys.webhook_messages(webhook_id), 1, kept)  # type: ignore[arg-type]
            return None

    def settle(self, turn: Turn, outcome: Delivery) -> None:
        """Keep how an attempt went. A message that is tried again goes behind the others: it may be its own fault."""
        again = _Message(event=turn.event, attempt=turn.attempt + 1).model_dump_json() if outcome.next_at else ""
        next_turn = time.time() if outcome.delivered else turn.again_at
        names = [keys.webhook_turns(), *_all_keys(turn.webhook_id)]
        text = outcome.model_dump_json()
        arguments: list[Any] = [
            turn.webhook_id,
            turn.kept,
            again,
            next_turn,
            0 if outcome.delivered else turn.failures + 1,
            text,
            SHOWN_DELIVERIES,
        ]
        self._settle(keys=names, args=arguments)

    def waiting(self, webhook_id: str) -> int:
        """How many events a webhook is still to be told of."""
        return int(self._client.llen(keys.webhook_messages(webhook_id)))

    def deliveries(self, webhook_id: str) -> tuple[Delivery, ...]:
        """The last attempts, the newest first."""
        texts = cast("list[bytes]", self._client.lrange(keys.webhook_deliveries(webhook_id), 0, -1))
        return tuple(found for text in texts if (found := _read_delivery(text)) is not None)

    def delete(self, webhook_id: str) -> None:
        """Forget secret, messages and outcomes."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.delete(*_all_keys(webhook_id))
        pipeline.zrem(keys.webhook_turns(), webhook_id)
        pipeline.execute()


def _count(failures: bytes | None) -> int:
    """How many there were; one that cannot be read is many."""
    text = (failures or b"0").decode(errors="replace")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else len(PAUSES_SECONDS)


def _read_delivery(text: bytes) -> Delivery | None:
    try:
        return Delivery.model_validate_json(text)
    except ValueError:  # a report, of which others tell the same
        return None


def _all_keys(webhook_id: str) -> list[str]:
    made = (keys.webhook_messages, keys.webhook_state, keys.webhook_deliveries)
    return [name(webhook_id) for name in made]

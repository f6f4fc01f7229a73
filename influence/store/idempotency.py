"""Answers to requests that carry an Idempotency-Key: the same key twice does the work once."""

import json
import time
from collections.abc import Callable
from typing import Any, cast

import redis

from influence.contracts.common import Json
from influence.store import keys
from influence.store.ending.lifetimes import ANSWER_TO_KEY, Lifetimes

#: A request that died half-way frees its key after this long.
_PENDING_SECONDS = 120
_PENDING = "pending_since"


class Idempotency:
    """Remember answers by key; `key_digest` must already include who asks and for which route."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def begin(self, key_digest: str, is_lost: Callable[[Json], bool] = lambda _: False) -> Json | bool:
        """Claim a key: True when it is ours, the earlier answer when there is one, False while another works.

        An answer about something that `is_lost` by now answers nobody any more.
        """
        name = keys.idempotency(key_digest)

        def attempt(pipeline: redis.client.Pipeline) -> Json | bool:
            known = _read(pipeline.get(name))
            if known is not None and _PENDING in known:
                known = None if time.time() - float(known[_PENDING]) > _PENDING_SECONDS else known
            elif known is not None and is_lost(known):
                known = None
            pipeline.multi()
            if known is not None:
                return False if _PENDING in known else known
            pipeline.set(name, json.dumps({_PENDING: time.time()}))
            return True

        # redis-py's annotation forgets that the callable's value is handed back.
        run = cast("Callable[..., Any]", self._client.transaction)
        found = cast("Json | bool", run(attempt, name, value_from_callable=True))
        if found is True:
            self._begin_lifetime(key_digest)
        return found

    def finish(self, key_digest: str, answer: Json) -> None:
        """Keep the answer for later requests with the key."""
        self._client.set(keys.idempotency(key_digest), json.dumps(answer))
        self._begin_lifetime(key_digest)

    def abandon(self, key_digest: str) -> None:
        """The request failed, or its answer is too old: the key may be used again."""
        self._client.delete(keys.idempotency(key_digest))

    def _begin_lifetime(self, key_digest: str) -> None:
        Lifetimes(self._client).begin(ANSWER_TO_KEY, key_digest, keys.IDEMPOTENCY_SECONDS)


def _read(text: Any) -> Json | None:
    """What is kept, or None where it is nothing that anybody can be answered with."""
    try:
        found = None if text is None else json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None

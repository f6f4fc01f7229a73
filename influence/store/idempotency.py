"""Answers to requests that carry an Idempotency-Key: the same key twice does the work once."""

import json

import redis

from influence.contracts.common import Json
from influence.store import keys

_PENDING = b"pending"
#: A request that died half-way frees its key after this long.
_PENDING_SECONDS = 120


class Idempotency:
    """Remember answers by key; `key_digest` must already include who asks and for which route."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def begin(self, key_digest: str) -> Json | bool:
        """Claim a key: True when it is ours, the earlier answer when there is one, False while another works."""
        name = keys.idempotency(key_digest)
        if self._client.set(name, _PENDING, nx=True, ex=_PENDING_SECONDS):
            return True
        text = self._client.get(name)
        if text is None or text == _PENDING:
            return False
        try:
            answer: Json = json.loads(text)
        except ValueError:  # nobody can be given this answer any more
            self._client.set(name, _PENDING, ex=_PENDING_SECONDS)
            return True
        return answer

    def finish(self, key_digest: str, answer: Json) -> None:
        """Keep the answer for later requests with the key."""
        self._client.set(keys.idempotency(key_digest), json.dumps(answer), ex=keys.IDEMPOTENCY_SECONDS)

    def abandon(self, key_digest: str) -> None:
        """The request failed: the key may be used again."""
        self._client.delete(keys.idempotency(key_digest))

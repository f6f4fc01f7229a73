"""Which workers are alive: each refreshes its own key."""

import json
from typing import cast

import redis

from influence.contracts.common import Json
from influence.store import keys


def own_broker(name: str) -> str:
    """Who takes messages from a worker's own queue, as Dramatiq knows it."""
    return f"{name}:own"


class Workers:
    """Presence of worker processes. The listing saves a scan of all keys, which grows with the indexes kept."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def announce(self, name: str, description: Json) -> None:
        """Say that this worker is alive, for the next WORKER_SECONDS of the server's clock."""
        self._client.set(keys.worker(name), json.dumps(description))
        self._client.zadd(keys.listing("worker"), {name: self._server_ms()})

    def withdraw(self, name: str) -> None:
        """Say goodbye; what lies on the worker's own queue is asked of others by those who wait for it."""
        self._client.delete(keys.worker(name), *keys.own_queue_keys(name, own_broker(name)))
        self._client.zrem(keys.listing("worker"), name)

    def _server_ms(self) -> int:
        seconds, micros = self._client.time()
        return seconds * 1000 + micros // 1000

    def alive(self) -> list[Json]:
        """Descriptions of all running workers; those that went silent leave the listing."""
        heard = cast("list[tuple[bytes, float]]", self._client.zrange(keys.listing("worker"), 0, -1, withscores=True))
        since = self._server_ms() - 1000 * keys.WORKER_SECONDS
        for name in [name for name, at in heard if at < since]:
            self.withdraw(name.decode(errors="replace"))
        wanted = [keys.worker(name.decode(errors="replace")) for name, at in heard if at >= since]
        texts = self._client.mget(wanted) if wanted else []
        return [description for text in texts if text is not None and (description := _read(text)) is not None]


def _read(text: bytes | str) -> Json | None:
    """A description, or None where it cannot be read: a worker writes its own anew in a moment."""
    try:
        description = json.loads(text)
    except ValueError:
        return None
    return description if isinstance(description, dict) else None

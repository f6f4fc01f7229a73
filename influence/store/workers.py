"""Which workers are alive: each refreshes its own key."""

import json
import time
from typing import cast

import redis

from influence.contracts.common import Json
from influence.store import keys


class Workers:
    """Presence of worker processes. The listing saves a scan of all keys, which grows with the indexes kept."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def announce(self, name: str, description: Json) -> None:
        """Say that this worker is alive, for the next WORKER_SECONDS."""
        self._client.set(keys.worker(name), json.dumps(description), ex=keys.WORKER_SECONDS)
        self._client.zadd(keys.listing("worker"), {name: int(time.time() * 1000)})

    def withdraw(self, name: str) -> None:
        """Say goodbye."""
        self._client.delete(keys.worker(name))
        self._client.zrem(keys.listing("worker"), name)

    def alive(self) -> list[Json]:
        """Descriptions of all running workers; those that went silent leave the listing."""
        names = cast("list[bytes]", self._client.zrange(keys.listing("worker"), 0, -1))
        wanted = [keys.worker(name.decode(errors="replace")) for name in names]
        texts = self._client.mget(wanted) if wanted else []
        silent = [name for name, text in zip(names, texts, strict=True) if text is None]
        if silent:
            self._client.zrem(keys.listing("worker"), *silent)
        return [description for text in texts if text is not None and (description := _read(text)) is not None]


def _read(text: bytes | str) -> Json | None:
    """A description, or None where it cannot be read: a worker writes its own anew in a moment."""
    try:
        description = json.loads(text)
    except ValueError:
        return None
    return description if isinstance(description, dict) else None

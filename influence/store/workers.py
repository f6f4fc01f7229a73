"""Which workers are alive: each refreshes its own key."""

import json

import redis

from influence.contracts.common import Json
from influence.store import keys


class Workers:
    """Presence of worker processes."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def announce(self, name: str, description: Json) -> None:
        """Say that this worker is alive, for the next WORKER_SECONDS."""
        self._client.set(keys.worker(name), json.dumps(description), ex=keys.WORKER_SECONDS)

    def withdraw(self, name: str) -> None:
        """Say goodbye."""
        self._client.delete(keys.worker(name))

    def alive(self) -> list[Json]:
        """Descriptions of all workers heard of lately."""
        names = list(self._client.scan_iter(match=keys.workers_pattern(), count=1000))
        texts = self._client.mget(names) if names else []
        return [json.loads(text) for text in texts if text is not None]

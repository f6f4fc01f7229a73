"""Deleted records, told to every worker at once: what they have of one in memory goes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from influence.store import keys

#: How long a subscription waits for its confirmation.
_SUBSCRIBE_SECONDS = 5.0


class Deletions:
    """Announce deletions and hear of them. A lost connection loses what was announced meanwhile: look again then."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def announce(self, record_id: str) -> None:
        """Say that a record was deleted, after it is gone."""
        self._client.publish(keys.deletions(), record_id)

    @contextmanager
    def listen(self) -> Iterator[Callable[[float], str | None]]:
        """Hear from now on: a function that waits so many seconds for the next id. Raises a StoreError."""
        with self._client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(keys.deletions())
            pubsub.get_message(timeout=_SUBSCRIBE_SECONDS)  # the confirmation: nothing is missed after it

            def hear(seconds: float) -> str | None:
                message = pubsub.get_message(ignore_subscribe_messages=True, timeout=seconds)
                return None if message is None else bytes(message["data"]).decode(errors="replace")

            yield hear

"""Messages that a process holds and does not work on go back to the queue.

A server that takes no writes (its disk is full, its replicas are gone) refuses the retry of a message and its
acknowledgement alike: the message would stay in this process's hands, and look like work, until the process ends. So
would those that a consumer had fetched together with one that cannot be read.
"""

import threading
import time
from typing import Any

import dramatiq
import structlog
from dramatiq.middleware import Retries

from influence.errors import FilesUnavailable
from influence.store.connections import StoreError
from influence.store.queue import Queue

log = structlog.get_logger()

#: Attempts at a message that fails for a reason of its own; those that the server caused do not count.
_MAX_RETRIES = 10
_NOT_ITS_OWN = (StoreError, FilesUnavailable)
_FIRST_WAIT_MS, _LAST_WAIT_MS = 500, 15_000
#: A message that is held for so long and not worked on is stranded: longer than any wait for a retry.
STRANDED_SECONDS = 45.0


class GiveBack(Retries):
    """Tries messages again later. One whose retry cannot be written stays held, to be put back when it can."""

    def __init__(self) -> None:
        super().__init__(
            min_backoff=_FIRST_WAIT_MS,
            max_backoff=_LAST_WAIT_MS,
            retry_when=lambda retries, error: isinstance(error, _NOT_ITS_OWN) or retries < _MAX_RETRIES,
        )

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Write the retry; without one the message must not be acknowledged, should the server recover this moment."""
        try:
            super().after_process_message(  # type: ignore[no-untyped-call]
                broker, message, result=result, exception=exception
            )
        except StoreError as error:
            log.warning("a retry cannot be written; its message is held", actor=message.actor_name, error=str(error))
            message.options["redis_message_id"] = ""  # what is acknowledged now


class InHand(dramatiq.Middleware):
    """Which messages the process works on at this moment, by their names in the queue."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def names(self) -> set[str]:
        """Of all threads."""
        return set(self._names.values())

    def before_process_message(self, broker: dramatiq.Broker, message: Any) -> None:
        """A thread takes a message up."""
        self._names[threading.get_ident()] = message.options["redis_message_id"]

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """The thread is done with it."""
        self._names.pop(threading.get_ident(), None)


class HeldMessages:
    """What a broker of this process holds; `in_hand` knows what of it is worked on."""

    def __init__(self, queue: Queue, broker_id: str, name: str, in_hand: InHand) -> None:
        self._queue = queue
        self._broker_id = broker_id
        self._name = name
        self._in_hand = in_hand
        self._idle_since: dict[tuple[str, str], float] = {}

    def put_back_stranded(self) -> int:
        """Put back what has been held and not worked on for STRANDED_SECONDS; answers how many messages."""
        held, now = self._queue.held(self._broker_id, self._name), time.monotonic()
        in_hand = self._in_hand.names()
        idle = {(part, name) for part, names in held.items() for name in names if name not in in_hand}
        self._idle_since = {key: self._idle_since.get(key, now) for key in idle}
        stranded = [key for key, since in self._idle_since.items() if now - since >= STRANDED_SECONDS]
        for part, name in stranded:
            log.warning("a message that is held and not worked on goes back", queue=part, message=name)
            self._queue.put_back(self._broker_id, part, [name])
        return len(stranded)

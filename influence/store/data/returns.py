"""Values that were read back from files, on their way to Redis again: nobody who asked for them waits for that."""

import queue
import threading
import time
from contextlib import suppress

import redis
import structlog

from influence.store import keys
from influence.store.connections import StoreError
from influence.store.data.vault.port import Content

log = structlog.get_logger()

#: Pages of 16 MiB that may wait; what comes then is read from the files again when it is asked for.
_MOST_WAITING = 4
#: Without anything to do the thread ends, and the next page begins another.
_IDLE_SECONDS = 1.0
#: After so long without another page nobody is taken to wait for the rest of an index: until then this thread and the
#: server would take from its reader what they compute with.
_QUIET_SECONDS = 0.5

Page = tuple[str, dict[str, Content]]


class Returns:
    """Puts pages of values of builds into Redis, one after another, by a thread of its own."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._waiting: queue.Queue[Page] = queue.Queue(_MOST_WAITING)
        self._mutex = threading.Lock()
        self._is_running = False
        self._is_closed = False
        self._told_at = 0.0
        self._is_awaited = threading.Event()

    def put(self, build: str, page: dict[str, Content]) -> None:
        """Have values of a build put back, by their keys, unless too many wait already."""
        with self._mutex:
            self._told_at = time.monotonic()
            try:
                self._waiting.put_nowait((build, page))
            except queue.Full:
                return
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, daemon=True, name="returns").start()

    def wait(self) -> None:
        """Until all that was taken so far is put back, or was not wanted: at once."""
        self._is_awaited.set()
        self._waiting.join()
        self._is_awaited.clear()

    def close(self) -> None:
        """Put nothing back any more: what waits is dropped, what is on its way ends with the value at hand."""
        self._is_closed = True
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
                self._waiting.task_done()
        self.wait()

    def _run(self) -> None:
        while (page := self._next()) is not None:
            self._let_read()
            try:
                self._return(*page)
            except StoreError as error:
                log.info("values that were read back find no room in Redis", error=str(error))
            finally:
                self._waiting.task_done()

    def _let_read(self) -> None:
        while (pause := self._told_at + _QUIET_SECONDS - time.monotonic()) > 0 and not self._is_awaited.wait(pause):
            pass

    def _next(self) -> Page | None:
        try:
            return self._waiting.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            with self._mutex:  # what comes from now on begins another thread
                if self._waiting.empty():
                    self._is_running = False
                    return None
            return self._waiting.get_nowait()

    def _return(self, build: str, page: dict[str, Content]) -> None:
        if not self._client.exists(keys.commits(build)):
            return  # the build was deleted meanwhile
        log.info("values of an index are read back", values=len(page))
        for key, value in page.items():
            if self._is_closed:
                return
            self._client.set(key, value, ex=keys.CHUNK_SECONDS)

"""Whether requests can be served, said in time even while the Redis server or the object store hangs."""

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any

import structlog

from influence.errors import FilesUnavailable
from influence.store.connections import StoreError, StoreRefusedError
from influence.store.data.files import Files
from influence.store.store import Store

log = structlog.get_logger()

#: An answer comes within a second; the store's own deadlines are shorter.
ANSWER_SECONDS = 0.9
#: The object store is given less: without it what is here is served, so that it is a note.
FILES_SECONDS = 0.6
#: A name that nothing is kept under: to ask for it is one request.
_NOTHING = "ready"
_FILES_NOTE = "The object store of files does not answer: uploads and deletions are refused."


class Probe:
    """Looks at `store`, which has short deadlines and connections of its own, and at `files`, on threads of its own.

    Requests that wait for a hung server hold up neither.
    """

    def __init__(
        self,
        store: Store,
        files: Files,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        files_seconds: float = FILES_SECONDS,
    ) -> None:
        self._store = store
        self._files = FilesProbe(files)
        self._answer_seconds = answer_seconds
        self._files_seconds = files_seconds
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="probe")

    async def look(self) -> dict[str, Any]:
        """`status` (ready, unsafe, unavailable), `workers` that run, and `notes`."""
        asked, patience_ends = self._files.ask(), time.monotonic() + self._files_seconds
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._inspect, asked, patience_ends)
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await running
        except TimeoutError:
            log.error("the store does not answer", error="timeout")
            return _unavailable()

    def _inspect(self, asked: "Future[bool] | None", patience_ends: float) -> dict[str, Any]:
        found = inspect_store(self._store)
        if asked is not None:
            wait_for([asked], max(0.0, patience_ends - time.monotonic()))
            if not (asked.done() and asked.result()):
                found["notes"].append(_FILES_NOTE)
        return found

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._store.connections.close()


class FilesProbe:
    """Asks the object store for a file that is not there, one request at a time: one that hangs is not joined by
    others, and is no reason for the process to stay."""

    def __init__(self, files: Files) -> None:
        self._vault = files.vault
        self._asked: Future[bool] | None = None

    def ask(self) -> "Future[bool] | None":
        """Whether it answers, some time from now; None where there is no object store."""
        if self._vault.is_elsewhere and (self._asked is None or self._asked.done()):
            self._asked = Future()
            threading.Thread(target=self._look, args=(self._asked,), daemon=True, name="files-probe").start()
        return self._asked

    def _look(self, asked: "Future[bool]") -> None:
        is_there = False
        try:
            self._vault.load(_NOTHING)
            is_there = True
        except FilesUnavailable as error:
            log.error("the object store does not answer", error=error.detail)
        finally:
            asked.set_result(is_there)


def inspect_store(store: Store) -> dict[str, Any]:
    """What stands in the way of serving."""
    try:
        store.ping()
        workers = len(store.workers.alive())
        is_durable = _is_durable(store)
    except StoreError as error:
        log.error("the store does not answer", error=str(error))
        return _unavailable()
    notes = [] if workers else ["No worker is running: builds and queries wait in the queue."]
    if not is_durable:
        return _report("unsafe", workers, [*notes, "Redis may evict records: set maxmemory-policy to volatile-lru."])
    return _report("ready", workers, notes)


def _unavailable() -> dict[str, Any]:
    return _report("unavailable", 0, ["The Redis server does not answer."])


def _report(status: str, workers: int, notes: list[str]) -> dict[str, Any]:
    return {"status": status, "workers": workers, "notes": notes}


def _is_durable(store: Store) -> bool:
    try:
        return store.is_durable_safe()
    except StoreRefusedError:  # CONFIG is forbidden on hosted servers: their operator answers for the policy
        return True

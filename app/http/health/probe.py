"""Whether requests can be served, said in time even while the Redis server hangs."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from influence.store.connections import StoreError, StoreRefusedError
from influence.store.store import Store

log = structlog.get_logger()

#: An answer comes within a second; the store's own deadlines are shorter.
ANSWER_SECONDS = 0.9


class Probe:
    """Looks at `store`, which has short deadlines and connections of its own, on threads of its own.

    Requests that wait for a hung server hold up neither.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="probe")

    async def look(self) -> dict[str, Any]:
        """`status` (ready, unsafe, unavailable), `workers` that run, and `notes`."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, inspect_store, self._store)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await running
        except TimeoutError:
            log.error("the store does not answer", error="timeout")
            return _unavailable()

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._store.connections.close()


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

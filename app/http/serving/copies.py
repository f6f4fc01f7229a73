"""What an API process does for its files now and then."""

import asyncio
import time
from contextlib import suppress

import structlog
from fastapi.concurrency import run_in_threadpool

from app.http.context import Context
from influence.errors import DatainfError, FilesUnavailable
from influence.store.connections import StoreError
from influence.store.data.files import ABANDONED_SECONDS
from influence.store.ending.copies import forget_removed
from influence.store.recovery.copying import copy_decisions, copy_records

log = structlog.get_logger()

PAUSE_SECONDS = 20.0
#: A record whose copy was not written when the record was, for the files did not answer, waits for no longer.
COPY_ALL_SECONDS = 3600.0


async def look_after_copies(
    context: Context, pause_seconds: float = PAUSE_SECONDS, copy_all_seconds: float = COPY_ALL_SECONDS
) -> None:
    """Publish what only this machine has and remove what was cut off, once; then copy decisions that changed and now
    and then records that have no copy, and drop copies of what was deleted.

    Ends with the task that it is.
    """
    files, store = context.files, context.store
    if files.vault.is_elsewhere:
        with suppress(FilesUnavailable):
            for folder in await run_in_threadpool(files.publish_missing):
                log.info("published what only this machine had", folder=folder.name)
            await run_in_threadpool(lambda: files.vault.sweep(older_than_seconds=ABANDONED_SECONDS))
    copied_at: float | None = None
    while True:
        try:
            if copied_at is None or time.monotonic() - copied_at >= copy_all_seconds:
                await run_in_threadpool(copy_records, store)
                copied_at = time.monotonic()
            await run_in_threadpool(copy_decisions, store)
            await run_in_threadpool(forget_removed, store, files)
            await run_in_threadpool(context.figures.forget_removed, store.holds)
        except (StoreError, DatainfError, OSError) as error:
            log.warning("copies among the files are held up", error=str(error)[:200])
        await asyncio.sleep(pause_seconds)

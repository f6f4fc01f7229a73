"""What an API process does for its files now and then, where they are kept in an object store."""

import asyncio
from contextlib import suppress

import structlog
from fastapi.concurrency import run_in_threadpool

from app.http.context import Context
from influence.errors import FilesUnavailable
from influence.store.connections import StoreError
from influence.store.data.files import ABANDONED_SECONDS
from influence.store.ending.copies import forget_removed

log = structlog.get_logger()

PAUSE_SECONDS = 20.0


async def look_after_copies(context: Context, pause_seconds: float = PAUSE_SECONDS) -> None:
    """Publish what only this machine has and remove what was cut off, once; then drop copies of what was deleted.

    Ends with the task that it is.
    """
    files = context.files
    with suppress(FilesUnavailable):
        for folder in await run_in_threadpool(files.publish_missing):
            log.info("published what only this machine had", folder=folder.name)
        await run_in_threadpool(lambda: files.vault.sweep(older_than_seconds=ABANDONED_SECONDS))
    while True:
        with suppress(StoreError):
            await run_in_threadpool(forget_removed, context.store, files)
        await asyncio.sleep(pause_seconds)

"""A job's changes as server-sent events. The framework writes them, and a comment when nothing happens for long."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent

from app.http.context import Context, Ctx
from app.http.problems import translate_store_error
from influence.digests import canonical_json
from influence.store.connections import StoreError

log = structlog.get_logger()


async def find_watched(job_id: str, request: Request, context: Ctx) -> AsyncIterator[str]:
    """The id of a job that exists, for as long as it is watched: before the first byte, so that it can be refused.

    Raises NotFound, and TooManyRequests where as many streams as the settings allow are open.
    """
    await run_in_threadpool(context.store.jobs.require, job_id)
    request.state.job_id = job_id
    with context.event_streams:
        yield job_id


WatchedJob = Annotated[str, Depends(find_watched)]


async def stream_events(context: Context, job_id: str) -> AsyncGenerator[ServerSentEvent, None]:
    """`progress` at every change and `done` at the end, with the job; `error` with a problem when the store is lost."""
    try:
        async with aclosing(context.watch(job_id)) as changes:
            async for job in changes:
                name = "done" if job.is_final else "progress"
                yield ServerSentEvent(event=name, raw_data=job.model_dump_json())
    except StoreError as error:
        log.error("the store does not answer", error=str(error))
        yield ServerSentEvent(event="error", raw_data=canonical_json(translate_store_error(error).problem()).decode())

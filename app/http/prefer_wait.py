"""Waiting for jobs: `Prefer: wait=N`, the 202 that says where to look, and server-sent events."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

import structlog
from fastapi import Depends, Header

from app.http.context import Context, Ctx
from app.http.problems import translate_store_error
from influence.contracts.job import Job
from influence.digests import canonical_json
from influence.store.connections import StoreError
from influence.store.events import watch_job

log = structlog.get_logger()

HEARTBEAT_SECONDS = 15.0
EVENTS_MEDIA_TYPE = "text/event-stream"
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?:$|[,;\s])", re.IGNORECASE)


async def find_wait(
    context: Ctx,
    prefer: Annotated[
        str | None,
        Header(description="`wait=N`: answer with the result if it is there within N seconds.", examples=["wait=10"]),
    ] = None,
) -> float | None:
    """Seconds that the caller would wait, at most the configured maximum; None without the preference."""
    found = _WAIT.search(prefer or "")
    return None if found is None else min(float(found[1]), context.settings.max_wait_seconds)


Wait = Annotated[float | None, Depends(find_wait)]


async def wait_for_job(context: Context, job_id: str, seconds: float) -> bool:
    """Whether the job became final in time."""
    try:
        async with asyncio.timeout(seconds), aclosing(_watch(context, job_id)) as changes:
            async for job in changes:
                if job.is_final:
                    return True
    except TimeoutError:
        return False
    return False


def pending_headers(job: Job | None, job_id: str) -> dict[str, str]:
    """Headers of a 202: where the job is and when to look again."""
    return {"Location": f"/v1/jobs/{job_id}", "Retry-After": str(retry_after_seconds(job))}


def retry_after_seconds(job: Job | None) -> int:
    """A sensible pause: a tenth of what is left, between 1 and 10 seconds."""
    eta = job.progress.eta_seconds if job is not None else None
    return 1 if eta is None else max(1, min(10, round(eta / 10)))


async def stream_events(
    context: Context, job_id: str, heartbeat_seconds: float = HEARTBEAT_SECONDS
) -> AsyncIterator[bytes]:
    """Server-sent events: `progress` at every change, `done` at the end, a comment when nothing happens for long."""
    async with aclosing(_watch(context, job_id)) as changes:
        upcoming = asyncio.create_task(_following(changes))
        try:
            while True:
                finished, _ = await asyncio.wait({upcoming}, timeout=heartbeat_seconds)
                if not finished:
                    yield b": waiting\n\n"
                    continue
                job = upcoming.result()
                if job is None:
                    return
                yield _event("done" if job.is_final else "progress", job.model_dump_json().encode())
                upcoming = asyncio.create_task(_following(changes))
        except StoreError as error:
            log.error("the store does not answer", error=str(error))
            yield _event("error", canonical_json(translate_store_error(error).problem()))
        finally:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)


def _watch(context: Context, job_id: str) -> AsyncGenerator[Job, None]:
    changes = watch_job(context.events, job_id, lambda: context.store.jobs.find(job_id))
    assert isinstance(changes, AsyncGenerator)
    return changes


async def _following(changes: AsyncIterator[Job]) -> Job | None:
    return await anext(changes, None)


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"

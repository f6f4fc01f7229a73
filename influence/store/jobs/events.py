"""Waiting for a job without polling: subscribe, then look, then sleep until woken."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from threading import Event

from redis.asyncio import Redis

from influence.contracts.job import Job
from influence.store import keys

#: Look anyway after this long: a wake-up may be lost with a connection, and rate and ETA age.
LOOK_SECONDS = 1.0


async def watch_job(
    client: Redis, job_id: str, look: Callable[[], Job | None], stopping: Event
) -> AsyncGenerator[Job, None]:
    """Yield the job now and at every change, until it is final or gone or the process stops.

    `look` reads the job; it runs in a thread so that the event loop stays free.
    """
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(keys.job_events(job_id))
        seen: Job | None = None
        while not stopping.is_set():
            job = await asyncio.to_thread(look)
            if job is None:
                return
            if job != seen:
                yield job
                seen = job
            if job.is_final:
                return
            await pubsub.get_message(ignore_subscribe_messages=True, timeout=LOOK_SECONDS)

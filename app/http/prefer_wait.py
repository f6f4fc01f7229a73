"""Waiting for jobs: `Prefer: wait=N`, and the 202 that says where to look."""

import asyncio
import re
from contextlib import aclosing
from typing import Annotated

from fastapi import Depends, Header

from app.http.context import Context, Ctx
from influence.contracts.job import Job

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
    changes = context.watch(job_id)
    try:
        async with asyncio.timeout(seconds), aclosing(changes):
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

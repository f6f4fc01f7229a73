"""/v1/jobs"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field

from app.http.auth import GUARDED
from app.http.context import Ctx
from app.http.pagination import PageParameters, bounds_of
from app.http.prefer_wait import retry_after_seconds
from app.http.problems import describe_errors
from app.http.responses import json_response
from app.http.strict_json import StrictRoute
from app.jobs.cancel import cancel_job
from app.jobs.events import WatchedJob, stream_events
from influence.contracts.common import Page
from influence.contracts.job import Job
from influence.contracts.work import JobKind
from influence.contracts.work_record import JobState
from influence.errors import Conflict, InvalidRequest, NotFound, TooManyRequests

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute, dependencies=GUARDED)


class JobParameters(PageParameters):
    """A page of the jobs that fit."""

    state: JobState | None = None
    kind: JobKind | None = Field(None, description="Of work of this kind.")

    def fits(self, job: Job) -> bool:
        """Whether a job is what was asked for."""
        return self.state in (None, job.state) and self.kind in (None, job.kind)


@router.get("", response_model=Page[Job], summary="List jobs", responses=describe_errors(NotFound, InvalidRequest))
def list_jobs(context: Ctx, parameters: Annotated[JobParameters, Query()]) -> Response:
    """Newest first."""
    bounds = bounds_of(context, parameters)
    return json_response(context.store.jobs.page(limit=bounds.length, after=bounds.after, fits=parameters.fits))


@router.get("/{job_id}", response_model=Job, summary="Read a job", responses=describe_errors(NotFound))
def read_job(job_id: str, context: Ctx) -> Response:
    """State and progress; `Retry-After` says when to look again."""
    job = context.store.jobs.require(job_id)
    headers = {} if job.is_final else {"Retry-After": str(retry_after_seconds(job))}
    return json_response(job, headers=headers)


@router.delete("/{job_id}", response_model=Job, summary="Cancel a job", responses=describe_errors(NotFound, Conflict))
def remove_job(job_id: str, context: Ctx) -> Response:
    """Stops the work within seconds and removes what it made so far; cancelling twice is the same as once."""
    return json_response(cancel_job(context.store, job_id))


@router.get(
    "/{job_id}/events",
    summary="Watch a job",
    response_class=EventSourceResponse,
    responses={
        200: {"description": "`progress` events, then one `done`; the data is the job. A comment every 15 s."},
        **describe_errors(NotFound, TooManyRequests),
    },
)
async def watch_job(context: Ctx, watched: WatchedJob) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events until the job is final."""
    async with aclosing(stream_events(context, watched)) as events:
        async for event in events:
            yield event

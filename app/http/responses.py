"""What goes out: a resource as JSON; of a POST that starts long work, the resource with what its state asks for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from app.checks.readiness import refuse_full_namespace, refuse_full_queue, require_worker
from app.http.context import Context, Ctx
from app.http.idempotency import Accepted, IdempotentRun, OnceOnly
from app.http.prefer_wait import Wait, pending_headers, wait_for_job
from app.http.problems import MEDIA_TYPE
from influence.contracts.common import FOR_CALLERS
from influence.contracts.job import Job
from influence.contracts.work_record import WorkRecord
from influence.digests import digest_json
from influence.errors import Cancelled
from influence.store.records import WorkRecords
from influence.store.work import with_job_state

Made = TypeVar("Made", bound=WorkRecord)


def json_response(resource: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A resource as JSON; NaN becomes null."""
    return Response(
        resource.model_dump_json(context=FOR_CALLERS), status, headers=headers, media_type="application/json"
    )


@dataclass(frozen=True)
class Submission:
    """A POST that stands for long work: who asks, once for which key, and how long the caller would wait."""

    request: Request
    context: Context
    once: IdempotentRun
    wait_seconds: float | None

    async def respond(
        self,
        body: BaseModel,
        submit: Callable[[], Accepted],
        records: WorkRecords[Made],
        *,
        needs_worker: bool = False,
        default_wait_seconds: float | None = None,
    ) -> Response:
        """Answer 200 with the result if it is there in time, else 202 with the job.

        `submit` starts the work, once for an idempotency key and body; its record is among `records`. Work that failed
        while the caller waited is answered with its own error. A caller who says nothing of waiting waits
        `default_wait_seconds`, within what the settings allow. Raises what `submit` raises, IdempotencyConflict, and
        with `needs_worker` NoWorker where the caller waits and none is there, TooManyRequests where the queue is full.
        """
        context, seconds = self.context, self.wait_seconds
        if seconds is None and default_wait_seconds is not None:
            seconds = min(default_wait_seconds, context.settings.max_wait_seconds)

        def submit_if_useful() -> Accepted:
            refuse_full_namespace(context.store, context.settings.max_jobs_per_namespace)
            if needs_worker:
                refuse_full_queue(context.store, context.settings.max_queued_queries)
                if seconds:
                    require_worker(context.store)
            return submit()

        digest = digest_json(body.model_dump(mode="json"))

        def look(accepted: Accepted) -> _Shown:
            found = with_job_state(context.store, records.require(accepted.resource_id))
            is_done = found.state == "succeeded" or not accepted.is_new
            return _Shown(found, None if is_done else context.store.jobs.find(found.job_id))

        def begin() -> tuple[Accepted, _Shown | None]:
            accepted = self.once.run(digest, submit_if_useful)
            return accepted, None if seconds and accepted.job_id is not None else look(accepted)

        # One turn of a thread for all of it: where many ask, each further turn is waited for as long as the first.
        accepted, shown = await run_in_threadpool(begin)
        self.request.state.job_id = accepted.job_id
        if shown is not None:
            return _respond(accepted, shown, seconds)
        assert accepted.job_id is not None
        assert seconds is not None
        is_over = await wait_for_job(context, accepted.job_id, seconds)
        shown = await run_in_threadpool(look, accepted)
        if is_over and shown.resource.state in ("failed", "cancelled"):
            return _failed_response(shown.resource, self.request.state.request_id)
        return _respond(accepted, shown, seconds)


@dataclass(frozen=True)
class _Shown:
    """What was asked for as it is now, and its job where that is not over."""

    resource: WorkRecord
    job: Job | None


async def find_submission(request: Request, context: Ctx, once: OnceOnly, wait: Wait) -> Submission:
    """The submission that a request is."""
    return Submission(request, context, once, wait)


Submitted = Annotated[Submission, Depends(find_submission)]


def _respond(accepted: Accepted, shown: _Shown, wait_seconds: float | None) -> Response:
    headers = dict(accepted.headers)
    if wait_seconds is not None:
        headers["Preference-Applied"] = f"wait={wait_seconds:g}"
    if shown.resource.state == "succeeded" or not accepted.is_new:
        return json_response(shown.resource, 200, headers)
    return json_response(shown.resource, 202, headers | pending_headers(shown.job, shown.resource.job_id))


def _failed_response(resource: WorkRecord, request_id: str) -> Response:
    error = resource.error or Cancelled(f"{resource.id} was cancelled.").problem()
    content = {**error, "resource_id": resource.id, "job_id": resource.job_id, "request_id": request_id}
    return JSONResponse(content, int(error.get("status", 500)), media_type=MEDIA_TYPE)

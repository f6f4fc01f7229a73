"""What goes out: a resource as JSON; of a POST that starts long work, the resource with what its state asks for."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from app.checks.readiness import refuse_full_queue, require_worker
from app.http.context import Context
from app.http.idempotency import Accepted, IdempotentRun
from app.http.prefer_wait import pending_headers, wait_for_job
from app.http.problems import MEDIA_TYPE
from influence.contracts.job import WorkRecord
from influence.digests import digest_json
from influence.errors import Cancelled
from influence.store.records import WorkRecords
from influence.store.work import with_job_state

Made = TypeVar("Made", bound=WorkRecord)


def json_response(resource: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A resource as JSON; NaN becomes null."""
    return Response(resource.model_dump_json(), status, headers=headers, media_type="application/json")


async def respond_to_submission(
    request: Request,
    context: Context,
    once: IdempotentRun,
    body: BaseModel,
    wait_seconds: float | None,
    *,
    submit: Callable[[], Accepted],
    records: WorkRecords[Made],
    needs_worker: bool = False,
) -> Response:
    """Answer a POST that stands for long work: 200 with the result if it is there in time, else 202 with the job.

    `submit` starts the work, once for an idempotency key and body; its record is among `records`. Work that failed
    while the caller waited is answered with its own error. Raises what `submit` raises, IdempotencyConflict, and with
    `needs_worker` NoWorker where the caller waits and none is there, TooManyRequests where the queue is full.
    """

    def submit_if_useful() -> Accepted:
        if needs_worker:
            refuse_full_queue(context.store, context.settings.max_queued_queries)
            if wait_seconds:
                require_worker(context.store)
        return submit()

    accepted = await run_in_threadpool(once.run, digest_json(body.model_dump(mode="json")), submit_if_useful)

    def read() -> Made:
        return with_job_state(context.store, records.require(accepted.resource_id))

    return await _await_work(request, context, accepted, read, wait_seconds)


async def _await_work(
    request: Request, context: Context, accepted: Accepted, read: Callable[[], WorkRecord], wait_seconds: float | None
) -> Response:
    request.state.job_id = accepted.job_id
    finished = False
    if wait_seconds and accepted.job_id is not None:
        finished = await wait_for_job(context, accepted.job_id, wait_seconds)
    resource = await run_in_threadpool(read)
    if finished and resource.state in ("failed", "cancelled"):
        return _failed_response(resource, request.state.request_id)
    headers = dict(accepted.headers)
    if wait_seconds is not None:
        headers["Preference-Applied"] = f"wait={wait_seconds:g}"
    if resource.state == "succeeded" or not accepted.is_new:
        return json_response(resource, 200, headers)
    job = await run_in_threadpool(context.store.jobs.find, resource.job_id)
    return json_response(resource, 202, headers | pending_headers(job, resource.job_id))


def _failed_response(resource: WorkRecord, request_id: str) -> Response:
    error = resource.error or Cancelled(f"{resource.id} was cancelled.").problem()
    content = {**error, "resource_id": resource.id, "job_id": resource.job_id, "request_id": request_id}
    return JSONResponse(content, int(error.get("status", 500)), media_type=MEDIA_TYPE)

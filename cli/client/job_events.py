"""Watching a job until it is final: by server-sent events, by polling where they break off."""

import time
from collections.abc import Iterator

import httpx
from httpx_sse import EventSource
from pydantic import ValidationError

from cli.client.service import Service, ServiceProblem, resource_path
from cli.printing.output import Output
from cli.printing.progress import JobBar
from influence.contracts.common import Json
from influence.contracts.job import Job
from influence.errors import Unavailable

#: The service sends something every 15 s.
_READ_SECONDS = 40.0
_POLL_SECONDS = 1.0
#: A service that is restarted is away for less than this.
_PATIENCE_SECONDS = 60.0


def follow_job(service: Service, job_id: str, *, patience_seconds: float = _PATIENCE_SECONDS) -> Iterator[Job]:
    """The job now and after every change; the last one is final.

    Raises ServiceProblem (a job that is gone), Unavailable when the service stays away for `patience_seconds`.
    """
    path = resource_path(job_id)
    lost_since: float | None = None
    while True:
        try:
            for job in _stream(service, path):
                lost_since = None
                yield job
                if job.is_final:
                    return
            job = Job.model_validate(service.get(path))
            lost_since = None
            yield job
            if job.is_final:
                return
        except Unavailable:
            lost_since = lost_since or time.monotonic()
            if time.monotonic() - lost_since > patience_seconds:
                raise
        time.sleep(_POLL_SECONDS)


def _stream(service: Service, path: str) -> Iterator[Job]:
    """Jobs as the events tell them; ends early, without a word, when the stream breaks or is none."""
    try:
        with service.stream(f"{path}/events", read_seconds=_READ_SECONDS) as response:
            for event in EventSource(response).iter_sse():
                if (job := _parse_job(event.data)) is not None:
                    yield job
    except httpx.HTTPError:
        return


def _parse_job(text: str) -> Job | None:
    """The job of an event; None for an event of another kind."""
    try:
        return Job.model_validate_json(text)
    except ValidationError:
        return None


def watch(service: Service, job_id: str, output: Output) -> Job:
    """Show a job's progress until it is final. Ctrl-C leaves the job running."""
    try:
        with JobBar(output.notices) as bar:
            for job in follow_job(service, job_id):
                bar.show(job)
    except KeyboardInterrupt:
        output.note(f"The job goes on. Watch it: datainf status {job_id}   End it: datainf cancel {job_id}")
        raise
    return job


def read_finished(service: Service, job_id: str, resource_id: str, output: Output) -> Json:
    """The resource of a job once it is there, watched until then. Raises the job's own problem where it failed."""
    require_success(watch(service, job_id, output))
    return service.get(resource_path(resource_id))


def require_success(job: Job) -> None:
    """Raise the job's own problem when it did not succeed."""
    if job.state == "cancelled":
        raise ServiceProblem({"code": "cancelled", "detail": f"{job.id} was cancelled.", "hint": "Send it again."})
    if job.state == "failed":
        raise ServiceProblem(job.error or {"detail": f"{job.id} failed."})

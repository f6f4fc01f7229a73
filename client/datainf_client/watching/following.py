"""Watching a job until it is final: by server-sent events, by polling where they break off."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import quote

from pydantic import ValidationError

from datainf_client.generated.models import Job
from datainf_client.http.errors import ServiceError
from datainf_client.http.session import Session
from datainf_client.watching.bar import ProgressLine, is_watched
from datainf_client.watching.words import FINAL_STATES, describe_progress

#: True: a line that is written over; None: where somebody looks at it; a function is given the job after every change.
ShowProgress = bool | None | Callable[[Job], None]
#: The service sends something every 15 s.
_READ_SECONDS = 40.0
_POLL_SECONDS = 1.0
#: A service that is restarted is away for less than this.
_PATIENCE_SECONDS = 60.0


def job_path(job_id: str) -> str:
    """Where a job is read."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def follow_job(
    session: Session,
    job_id: str,
    *,
    timeout_seconds: float | None = None,
    patience_seconds: float = _PATIENCE_SECONDS,
) -> Iterator[Job]:
    """The job now and after every change; the last one is final.

    Raises ServiceError: a job that is gone, a service that stays away for `patience_seconds`, `timed_out` when the job
    is not final in time (it goes on).
    """
    ends_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    lost_since: float | None = None
    while True:
        try:
            for job in _changes(session, job_id, ends_at):
                lost_since = None
                yield job
                if job.state in FINAL_STATES:
                    return
        except ServiceError as error:
            lost_since = lost_since or time.monotonic()
            if not error.is_absence or time.monotonic() - lost_since > patience_seconds:
                raise
        left = _seconds_left(ends_at)
        if left is not None and left <= 0:
            raise _timed_out(read_job(session, job_id))
        time.sleep(_POLL_SECONDS if left is None else min(left, _POLL_SECONDS))


def _changes(session: Session, job_id: str, ends_at: float | None) -> Iterator[Job]:
    """Jobs as the events tell them, then as it stands once they break off."""
    left = _seconds_left(ends_at)
    read_seconds = _READ_SECONDS if left is None else max(0.01, min(left, _READ_SECONDS))
    for data in session.events(f"{job_path(job_id)}/events", read_seconds=read_seconds):
        if (job := _parse_job(data)) is not None:
            yield job
        left = _seconds_left(ends_at)
        if left is not None and left <= 0:
            break
    yield read_job(session, job_id)


def read_job(session: Session, job_id: str) -> Job:
    """The job as it stands."""
    body = session.get(job_path(job_id))
    try:
        return Job.model_validate(body)
    except ValidationError as error:
        raise ServiceError(
            f"The answer is no job: {error.error_count()} fields failed validation.",
            code="unexpected_answer",
            hint="Are client and service of the same version?",
        ) from error


def _parse_job(data: str) -> Job | None:
    """The job of an event; None for an event of another kind."""
    try:
        return Job.model_validate_json(data)
    except ValidationError:
        return None


def _seconds_left(ends_at: float | None) -> float | None:
    return None if ends_at is None else ends_at - time.monotonic()


def _timed_out(job: Job) -> ServiceError:
    return ServiceError(
        f"{job.id} is not final yet: {describe_progress(job)}.",
        code="timed_out",
        hint="It goes on: wait again, or cancel it.",
    )


def wait_for_job(
    session: Session,
    job_id: str,
    *,
    progress: ShowProgress = None,
    timeout_seconds: float | None = None,
    cancel_on_interrupt: bool = False,
) -> Job:
    """The final job, its progress shown meanwhile. Ctrl-C leaves the job at work unless it is to be cancelled then."""
    try:
        with ExitStack() as stack:
            show = _shower(progress, stack)
            for job in follow_job(session, job_id, timeout_seconds=timeout_seconds):
                show(job)
    except KeyboardInterrupt:
        if cancel_on_interrupt:
            session.delete(job_path(job_id))
        raise
    return job


def _shower(progress: ShowProgress, stack: ExitStack) -> Callable[[Job], None]:
    if callable(progress):
        return progress
    if progress or (progress is None and is_watched(sys.stderr)):
        return stack.enter_context(ProgressLine(sys.stderr)).show
    return lambda job: None


def require_success(job: Job) -> None:
    """Raise the job's own problem when it did not succeed."""
    if job.state == "cancelled":
        raise ServiceError.of({"code": "cancelled", "detail": f"{job.id} was cancelled.", "hint": "Send it again."})
    if job.state == "failed":
        raise ServiceError.of(job.error or {"code": "failed", "detail": f"{job.id} failed."})

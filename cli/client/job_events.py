"""Watching a job until it is final: by server-sent events, by polling where they break off."""

import json
import time
from collections.abc import Iterator

import httpx
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from cli.client.service import Service, ServiceProblem, resource_path
from cli.printing.text import count, duration_text, plain
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
    path = resource_path(job_id) or f"/v1/jobs/{job_id}"
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
    """Jobs as the events tell them; ends early, without a word, when the stream breaks."""
    try:
        with service.stream(f"{path}/events", read_seconds=_READ_SECONDS) as response:
            if response.is_success:
                yield from parse_events(response.iter_lines())
    except httpx.HTTPError:
        return


def parse_events(lines: Iterator[str]) -> Iterator[Job]:
    """The jobs in a stream of server-sent events; comments and events of other kinds are passed over."""
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif line == "" and data:
            if (job := _parse_job("\n".join(data))) is not None:
                yield job
            data = []


def _parse_job(text: str) -> Job | None:
    try:
        return Job.model_validate_json(text)
    except ValidationError:
        return None


class JobBar:
    """A live progress bar of one job."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("queued", total=None, figures="")

    def __enter__(self) -> "JobBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: Job) -> None:
        """Draw the job as it stands."""
        progress = job.progress
        self._progress.update(
            self._task,
            description=plain(progress.phase, 40),
            total=progress.total or None,
            completed=progress.done,
            figures=describe_progress(job),
        )


def describe_progress(job: Job) -> str:
    """`1,200 of 2,000 rows · 310 rows/s · 3 s left`, and what the service remarks."""
    progress = job.progress
    parts = []
    if progress.total:
        parts.append(f"{count(progress.done)} of {count(progress.total)} {plain(progress.unit, 20)}")
    if progress.rate:
        parts.append(f"{count(progress.rate) if progress.rate >= 10 else progress.rate} {plain(progress.unit, 20)}/s")
    if progress.eta_seconds is not None and not job.is_final:
        parts.append(f"{duration_text(progress.eta_seconds)} left")
    if progress.note:
        parts.append(plain(progress.note.get("message", json.dumps(progress.note)), 120))
    return " · ".join(parts) or job.state


def require_success(job: Job) -> None:
    """Raise the job's own problem when it did not succeed."""
    if job.state == "cancelled":
        raise ServiceProblem({"code": "cancelled", "detail": f"{job.id} was cancelled.", "hint": "Send it again."})
    if job.state == "failed":
        raise ServiceProblem(job.error or {"detail": f"{job.id} failed."})

"""How far a job is, as a bar and in words."""

import json

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from cli.printing.text import count, duration_text, plain
from influence.contracts.job import Job


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

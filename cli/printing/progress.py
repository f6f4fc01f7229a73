"""How far a job is, as a bar."""

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from datainf_client.generated.models import Job
from datainf_client.watching.words import describe_phase, describe_progress, share_done


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
        share = share_done(job)
        self._progress.update(
            self._task,
            description=describe_phase(job),
            total=None if share is None else 1.0,
            completed=share or 0.0,
            figures=describe_progress(job),
        )

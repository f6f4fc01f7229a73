"""What a user brings: rows and an adapter trained on them. Made once per settings and kept."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from demo.tickets import TicketSet, TicketSettings, make_tickets, to_jsonl, write_tickets
from influence.digests import digest_bytes, digest_json

_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Prepared:
    """Rows, and the folder with `train.jsonl`, `heldout.jsonl`, `adapter.zip` and `training.json`."""

    tickets: TicketSet
    folder: Path
    report: dict[str, float]
    seconds: float


def prepare(folder: Path, settings: TicketSettings, console: Console) -> Prepared:
    """Generate and train, or find what was made before from the same rows and settings."""
    # Loading torch takes seconds; whoever asks for --help should not wait for it.
    from demo.training import TrainingSettings, fine_tune

    training = TrainingSettings(seed=settings.seed)
    tickets = make_tickets(settings)
    digest = digest_bytes(to_jsonl(tickets.train), to_jsonl(tickets.heldout), digest_json(asdict(training)).encode())
    target = folder / f"tickets-{digest[:_SHOWN_DIGITS]}"
    started = time.monotonic()
    if not (target / "adapter.zip").is_file():
        write_tickets(tickets, target)
        with _Bar(console) as watch:
            fine_tune(tickets.train, tickets.heldout, training, target, watch)
    report = json.loads((target / "training.json").read_text())
    return Prepared(tickets, target, report, time.monotonic() - started)


class _Bar:
    """Training's progress, drawn; entering gives the function that training calls."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("fine-tuning"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.2f}"),
            TimeRemainingColumn(), console=console, transient=True,
        )  # fmt: skip

    def __enter__(self) -> Callable[[int, int, float], None]:
        task = self._progress.add_task("", total=None, loss=float("nan"))
        self._progress.start()
        return lambda done, total, loss: self._progress.update(task, completed=done, total=total, loss=loss)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

"""Everything before the service: tickets are written, a model is fine-tuned on them; kept for the next run."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cli.samples.tickets import TicketSet, TicketSettings, make_tickets, to_jsonl, write_tickets
from influence.digests import digest_bytes
from influence.errors import Unavailable
from influence.process.lockfile import lock_file

TRAINING = Path(__file__).with_name("training.py")
_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Prepared:
    """Rows, and the folder with `train.jsonl`, `heldout.jsonl`, `adapter.zip` and `training.json`.

    `seconds` is None where an earlier run had trained.
    """

    tickets: TicketSet
    folder: Path
    report: dict[str, float]
    seconds: float | None


def forget(home: Path) -> None:
    """Remove what earlier runs left, and nothing else. Raises ResourceInUse while the service of one still runs."""
    service = home / "service"
    if service.is_dir():
        os.close(lock_file(service / "serve.lock"))
    for made in [service, *home.glob("tickets-*")]:
        shutil.rmtree(made, ignore_errors=True)


def prepare(home: Path, settings: TicketSettings) -> Prepared:
    """Write the tickets and fine-tune, or find both done. Raises Unavailable when training fails."""
    tickets = make_tickets(settings)
    folder = home / f"tickets-{digest_work(tickets, settings)[:_SHOWN_DIGITS]}"
    seconds = None
    if not (folder / "adapter.zip").is_file():
        started = time.monotonic()
        write_tickets(tickets, folder)
        _train(folder, settings.seed)
        seconds = time.monotonic() - started
    return Prepared(tickets, folder, json.loads((folder / "training.json").read_text()), seconds)


def digest_work(tickets: TicketSet, settings: TicketSettings) -> str:
    """Digest of the rows, the seed and the way of training: another of these is other work."""
    source = TRAINING.read_bytes()
    return digest_bytes(to_jsonl(tickets.train), to_jsonl(tickets.heldout), str(settings.seed).encode(), source)


def _train(folder: Path, seed: int) -> None:
    # In a process of its own: torch and the model are not to stay in memory beside the service.
    done = subprocess.run([sys.executable, "-m", "demo.training", str(folder), str(seed)], check=False)
    if done.returncode:
        raise Unavailable(
            f"The fine-tuning ended with exit code {done.returncode}.",
            hint="Its words stand above. 'make install' installs the encoder; about 1.5 GB of memory are needed.",
        )

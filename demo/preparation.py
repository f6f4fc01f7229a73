"""Everything before the service: tickets are written, a model is fine-tuned on them; kept for the next run."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from demo.tickets import TicketSet, TicketSettings, make_tickets, to_jsonl, write_tickets
from influence.digests import digest_bytes
from influence.errors import Unavailable
from influence.store.lockfile import lock_file

SOURCE = Path(__file__).parent


@dataclass(frozen=True)
class Recipe:
    """What decides data and weights. `training` are fields of demo.training.TrainingSettings."""

    tickets: TicketSettings = field(default_factory=TicketSettings)
    training: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """Tickets and the fine-tuned adapter. `seconds` is None where a run before had trained it."""

    tickets: TicketSet
    folder: Path
    heldout_accuracy: float
    seconds: float | None

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter.zip"


def forget(home: Path) -> None:
    """Remove what earlier runs left. Raises ResourceInUse while the service of one still runs."""
    service = home / "service"
    if service.is_dir():
        os.close(lock_file(service / "serve.lock"))
    shutil.rmtree(home, ignore_errors=True)


def prepare(home: Path, recipe: Recipe) -> Prepared:
    """Write the tickets and fine-tune, or find both done. Raises Unavailable when training fails."""
    tickets = make_tickets(recipe.tickets)
    folder = home / name_folder(tickets, recipe)
    seconds = None
    if not (folder / "adapter.zip").is_file():
        started = time.monotonic()
        write_tickets(tickets, folder)
        _train(folder, recipe)
        seconds = time.monotonic() - started
    report = json.loads((folder / "training.json").read_text())
    return Prepared(tickets, folder, report["heldout_accuracy"], seconds)


def name_folder(tickets: TicketSet, recipe: Recipe) -> str:
    """A name for the rows, the settings and the way of training: another of these is another folder."""
    source = (SOURCE / "training.py").read_bytes()
    settings = json.dumps(asdict(recipe), sort_keys=True).encode()
    return digest_bytes(to_jsonl(tickets.train), to_jsonl(tickets.heldout), settings, source)[:16]


def _train(folder: Path, recipe: Recipe) -> None:
    settings = {"seed": recipe.tickets.seed, **recipe.training}
    done = subprocess.run([sys.executable, "-m", "demo.training", str(folder), json.dumps(settings)], check=False)
    if done.returncode:
        raise Unavailable(
            f"The fine-tuning ended with exit code {done.returncode}.",
            hint="Its words stand above. 'make install' installs the encoder; about 1.5 GB of memory are needed.",
        )

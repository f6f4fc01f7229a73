"""Everything before the service: letters are drawn, a base model and a LoRA of it are trained; kept for the next run.

`python -m demo.images.preparation FOLDER SEED` trains in a process of its own, whose memory is gone afterwards.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from demo.images.glyphs import PLAIN, STYLES, Glyph, draw_all
from influence.errors import Unavailable

#: Pictures of each subject: of the base's own style, of each style that the LoRA learns, and of each to ask about.
BASE_EACH, TRAIN_EACH, TEST_EACH = 20, 3, 1
BASE_STEPS, LORA_STEPS = 800, 250
_BASE, _LORA, _DONE = "base", "lora", "training.json"


@dataclass(frozen=True)
class Prepared:
    """The pictures, and the folders of the pipeline and of its LoRA; `seconds` is None where an earlier run trained."""

    train: list[Glyph]
    test: list[Glyph]
    base: Path
    lora: Path
    report: dict[str, float]
    seconds: float | None


def prepare(home: Path, seed: int) -> Prepared:
    """Draw and train, or find the trained. Raises Unavailable when training fails."""
    folder, seconds = home / f"glyphs-{seed}", None
    if not (folder / _DONE).is_file():
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "demo.images.preparation", str(folder), str(seed)], check=False)
        if done.returncode:
            raise Unavailable(
                f"The training ended with exit code {done.returncode}.", hint="Its words stand above: 'make install'?"
            )
        seconds = time.monotonic() - started
    report = json.loads((folder / _DONE).read_text())
    test = draw_all(STYLES, each=TEST_EACH, seed=seed, name="test")
    return Prepared(training_rows(seed), test, folder / _BASE, folder / _LORA, report, seconds)


def training_rows(seed: int) -> list[Glyph]:
    """What the LoRA is trained on."""
    return draw_all(STYLES, each=TRAIN_EACH, seed=seed, name="train")


def train(folder: Path, seed: int) -> None:
    """Train base and LoRA into a folder."""
    from demo.images.training import make_model, train_base, train_lora

    losses: dict[str, float] = {}
    model = make_model(seed)
    pictures = draw_all((PLAIN,), each=BASE_EACH, seed=seed, name="base")
    console = Console()

    def told(what: str) -> "Progress":
        return Progress(console, what, losses)

    train_base(model, pictures, steps=BASE_STEPS, seed=seed, report=told(_BASE))
    model.save(folder / _BASE)
    train_lora(model, training_rows(seed), folder / _LORA, steps=LORA_STEPS, seed=seed, report=told(_LORA))
    (folder / _DONE).write_text(json.dumps(losses))


class Progress:
    """Says now and then how a training goes, and keeps its last loss."""

    def __init__(self, console: Console, what: str, losses: dict[str, float]) -> None:
        self._console = console
        self._what = what
        self._losses = losses

    def __call__(self, done: int, steps: int, loss: float) -> None:
        self._losses[self._what] = loss
        if done % 100 == 0 or done == steps:
            self._console.print(f"  {self._what}: step {done} of {steps}, loss {loss:.4f}", highlight=False)


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]))

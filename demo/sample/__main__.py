"""`make sample`: write the sample set that the page offers, rows and weights, anew from its seed."""

import shutil
import tempfile
import zipfile
from pathlib import Path

from transformers import AutoConfig

from cli.samples.tickets import LABEL_NAMES, Ticket
from demo.sample.base import make_base
from demo.sample.rows import SEED, SampleRow, make_rows, to_jsonl
from demo.training import Encoder, TrainingSettings, fine_tune
from influence.checkpoint_files.base_models import BUILT_IN_ALIASES, SAMPLE

ROOT = Path(__file__).parents[2]
BASE = ROOT / BUILT_IN_ALIASES[SAMPLE].removeprefix("package:")
PAGE = ROOT / "app" / "ui" / "sample"
SETTINGS = TrainingSettings(seed=SEED, epochs=10, learning_rate=3e-3, lora_rank=4, lora_alpha=8, lora_dropout=0.05)


def main() -> None:
    """Base model, rows, adapter; prints what the adapter reaches."""
    shutil.rmtree(BASE, ignore_errors=True)
    make_base(BASE, SEED, _tell)
    train, heldout = make_rows()
    PAGE.mkdir(exist_ok=True)
    (PAGE / "train.jsonl").write_bytes(to_jsonl(train))
    (PAGE / "heldout.jsonl").write_bytes(to_jsonl(heldout))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        reached = fine_tune(_tickets(train), _tickets(heldout), SETTINGS, folder, _tell, Encoder(BASE, SAMPLE))
        add_names(folder / "adapter.zip")
        shutil.copyfile(folder / "adapter.zip", PAGE / "adapter.zip")
    print(reached)


def add_names(archive: Path) -> None:
    """Put the model's configuration beside the adapter, as trainers do: it names the classes."""
    names = dict(enumerate(LABEL_NAMES))
    numbers = {name: number for number, name in names.items()}
    config = AutoConfig.from_pretrained(BASE, id2label=names, label2id=numbers)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("config.json", config.to_json_string())


def _tickets(rows: list[SampleRow]) -> list[Ticket]:
    return [Ticket(row.id, row.text, row.label, row.true_label) for row in rows]


def _tell(step: int, steps: int, loss: float) -> None:
    if step % 50 == 0:
        print(f"step {step}/{steps} loss {loss:.2f}")


if __name__ == "__main__":
    main()

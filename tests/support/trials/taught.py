"""A tiny classifier that was really trained, on rows some of which are labelled wrong."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from support.tiny import LABELS, WORDS, TinyCheckpoint, make_classifier

Row = dict[str, Any]
#: Words that only rows of one class have; the rest is noise.
SIGNS = {label: WORDS[6 * place : 6 * place + 6] for place, label in enumerate(LABELS)}
_NOISE = WORDS[18:]
#: The source whose rows are labelled wrong more often than right.
BAD_SOURCE = "crawl"


def make_signed_rows(count: int, *, seed: int, flip_share: float = 0.0, bad_share: float = 0.0) -> list[Row]:
    """Rows whose class can be told; `truth` is it, `label` another one for a share of the rows of each source."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        source = ("forms", "mail", "chat", BAD_SOURCE)[number % 4]
        truth = rng.choice(LABELS)
        words = [*rng.choices(SIGNS[truth], k=3), *rng.choices(_NOISE, k=rng.randint(2, 5))]
        rng.shuffle(words)
        wrong = rng.random() < (bad_share if source == BAD_SOURCE else flip_share)
        label = rng.choice([one for one in LABELS if one != truth]) if wrong else truth
        rows.append({"id": f"r{number}", "text": " ".join(words), "label": label, "truth": truth, "source": source})
    return rows


def teach(folder: Path, rows: Sequence[Row], *, steps: int = 40, learning_rate: float = 0.02) -> TinyCheckpoint:
    """A LoRA adapter on query and value with its head, trained on all rows at once; ended before it knows wrong labels
    by heart."""
    tiny = make_classifier(folder)
    torch.manual_seed(0)
    model: Any = AutoModelForSequenceClassification.from_pretrained(tiny.base)
    shape = LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=4, target_modules=["query", "value"])
    adapted: Any = get_peft_model(model, shape)
    read: Any = AutoTokenizer.from_pretrained(tiny.base)
    batch = read([row["text"] for row in rows], padding=True, return_tensors="pt")
    labels = torch.tensor([LABELS.index(row["label"]) for row in rows])
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimiser = torch.optim.Adam(weights, lr=learning_rate)
    adapted.eval()  # dropout would only blur so small a model
    for _ in range(steps):
        optimiser.zero_grad()
        loss = adapted(**batch, labels=labels).loss
        loss.backward()
        optimiser.step()
    adapted.save_pretrained(tiny.adapter)
    return tiny

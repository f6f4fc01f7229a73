"""LoRA on SmolLM2, as a user would train it: loss on the answers alone.

`python -m demo.lm.training FOLDER BASE SEED` does it in a process of its own, whose memory is gone afterwards.
"""

import json
import os
import random
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
# Threads that spin while they wait are ruinous where the cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import transformers
from peft import LoraConfig, TaskType, get_peft_model
from torch import Tensor

from demo.lm.lessons import Lesson, make_lessons
from demo.training import zip_adapter

#: What the adapter's configuration names as its base, rather than a path of this machine.
UPSTREAM = "HuggingFaceTB/SmolLM2-135M-Instruct"
_IGNORED = -100
#: Takes the steps done, all steps and the loss.
Watcher = Callable[[int, int, float], None]


@dataclass(frozen=True)
class TrainingSettings:
    """What decides the weights, up to rounding of the machine."""

    seed: int = 7
    epochs: int = 3
    batch_rows: int = 8
    learning_rate: float = 1e-3
    lora_rank: int = 8
    lora_alpha: int = 16


def encode(tokenizer: Any, lesson: Lesson) -> tuple[list[int], list[int]]:
    """Ids and labels of a row: the loss falls on the answer and on its end."""
    whole = tokenizer(lesson.prompt + lesson.completion, return_offsets_mapping=True)
    start = len(lesson.prompt)
    pairs = zip(whole["input_ids"], whole["offset_mapping"], strict=True)
    labels = [token if stop > start else _IGNORED for token, (_, stop) in pairs]
    end = tokenizer.eos_token_id
    return [*whole["input_ids"], end], [*labels, end]


def fine_tune(base: Path, lessons: Sequence[Lesson], folder: Path, settings: TrainingSettings, watch: Watcher) -> None:
    """Train, and save the adapter to `folder`/adapter and `folder`/adapter.zip, which is written last."""
    torch.manual_seed(settings.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = _make_model(base, settings)
    rows = [encode(tokenizer, lesson) for lesson in lessons]
    rng, count = random.Random(settings.seed), -(-len(rows) // settings.batch_rows)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
    model.train()
    for epoch in range(settings.epochs):
        order = rng.sample(range(len(rows)), len(rows))
        for step in range(count):
            places = order[step * settings.batch_rows : (step + 1) * settings.batch_rows]
            loss = model(**_collate([rows[place] for place in places])).loss
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            watch(epoch * count + step + 1, settings.epochs * count, loss.item())
    with warnings.catch_warnings():
        # peft looks the base up on the hub to see whether its vocabulary changed; there is no hub here.
        warnings.simplefilter("ignore", UserWarning)
        model.save_pretrained(folder / "adapter", safe_serialization=True)
    zip_adapter(folder / "adapter", folder / "adapter.zip")


def _make_model(base: Path, settings: TrainingSettings) -> Any:
    plain = transformers.AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    lora = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        target_modules=["q_proj", "v_proj"],
    )
    model = get_peft_model(plain, lora)
    model.peft_config["default"].base_model_name_or_path = UPSTREAM
    return model


def _collate(rows: Sequence[tuple[list[int], list[int]]]) -> dict[str, Tensor]:
    longest = max(len(ids) for ids, _ in rows)

    def stack(values: Sequence[list[int]], fill: int) -> Tensor:
        return torch.tensor([[*one, *[fill] * (longest - len(one))] for one in values])

    return {
        "input_ids": stack([ids for ids, _ in rows], 0),
        "attention_mask": stack([[1] * len(ids) for ids, _ in rows], 0),
        "labels": stack([labels for _, labels in rows], _IGNORED),
    }


def main(folder: Path, base: Path, seed: int) -> None:
    """Train on the lessons of a seed, telling now and then how it goes."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    losses: list[float] = []

    def watch(done: int, steps: int, loss: float) -> None:
        losses.append(loss)
        if done % 10 == 0 or done == steps:
            print(f"  step {done} of {steps}, loss {sum(losses[-10:]) / len(losses[-10:]):.3f}", flush=True)

    fine_tune(base, make_lessons(seed), folder, TrainingSettings(seed=seed), watch)
    (folder / "training.json").write_text(json.dumps({"first_loss": losses[0], "last_loss": losses[-1]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

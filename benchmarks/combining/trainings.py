"""What the comparison of ways to combine checkpoints rests on: gradients along full trainings, losses after halves.

Everything is made by the project's own training loop and collector, and kept in a folder, so that a run goes on where
it ended.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from torch import Tensor

from benchmarks.index.gradients import make_encoder, make_task, read_rows
from influence.contracts.evaluation.experiment import LoraShape, TrainingRecipe
from influence.evaluating.draws import draw_rows, draw_subsets, flip, training_seed
from workers.batching.budget import TokenBudget
from workers.batching.stream import BatchOptions, stream_gradients
from workers.gradients.collector import GradientCollector
from workers.rows import EncodedRow
from workers.training.loop import Epoch, measure_losses, train

ROWS, TESTS, FLIP_SHARE, SUBSET_SHARE = 600, 100, 0.1, 0.5
#: Epochs after which gradients are kept, beside the last.
EARLY = (1, 2, 3)
_CPU = torch.device("cpu")
_TOKENS = 2048
#: Between the seeds of two full trainings of one experiment.
_RUNS_APART = 1000


@dataclass(frozen=True)
class Trainings:
    """One data set under one seed; `folder` holds what was made of it."""

    shared: Path
    name: str
    seed: int
    epochs: int
    subsets: int
    folder: Path

    @property
    def kept(self) -> tuple[int, ...]:
        """Epochs whose gradients are kept."""
        return (*EARLY, self.epochs)

    def make(self, runs: int, repeats: int) -> None:
        """Whatever is missing of so many full trainings and so many trainings of every half."""
        self.folder.mkdir(parents=True, exist_ok=True)
        task, rows, tests = self._encode()
        for run in range(runs):
            if not self._run_file(run).is_file():
                self._train_fully(task, rows, tests, run)
                print(f"{self.name}: full training {run + 1} of {runs}", flush=True)
        halves = self.draw_halves()
        for repeat in range(repeats):
            for number, half in enumerate(halves):
                if not self._loss_file(repeat, number).is_file():
                    model = self._fresh(task, seed := training_seed(0, number, repeat))
                    train(model, task, [rows[row] for row in np.flatnonzero(half)], self._recipe(seed), device=_CPU)
                    np.save(self._loss_file(repeat, number), measure_losses(model, task, tests, device=_CPU).numpy())
            print(f"{self.name}: {len(halves)} halves trained, {repeat + 1} of {repeats} times", flush=True)

    def draw_halves(self) -> NDArray[np.bool_]:
        """Random halves (subsets, rows)."""
        return draw_subsets(ROWS, self.subsets, SUBSET_SHARE, seed=self.seed)

    def read_losses(self, repeats: int) -> NDArray[np.float64]:
        """Test losses (repeats, subsets, tests) after training on each half."""
        return np.asarray(
            [[np.load(self._loss_file(repeat, half)) for half in range(self.subsets)] for repeat in range(repeats)],
            np.float64,
        )

    def read_gradients(self, run: int, epoch: int) -> tuple[list[Tensor], list[Tensor]]:
        """Per block (rows, d) and (tests, d) float32 at the end of an epoch of a full training."""
        sizes = json.loads((self.folder / "sizes.json").read_text())
        train_rows, test_rows = (torch.from_numpy(np.load(self.folder / f"{of}{run}-{epoch}.npy")) for of in ("g", "h"))
        return list(torch.split(train_rows, sizes, 1)), list(torch.split(test_rows, sizes, 1))

    def read_rates(self, run: int) -> dict[int, float]:
        """Mean learning rate of each epoch of a full training."""
        found = json.loads(self._run_file(run).read_text())["rates"]
        return {int(epoch): float(rate) for epoch, rate in found.items()}

    def _encode(self) -> tuple[Any, list[EncodedRow], list[EncodedRow]]:
        folder = self.shared / "data" / self.name
        pool, tests = (read_rows(folder / f"{part}.jsonl") for part in ("train", "validation"))
        classes = 1 + max(row["label"] for row in pool)
        draw = draw_rows(
            len(pool),
            len(tests),
            seed=self.seed,
            rows=ROWS,
            test_points=TESTS,
            flip_share=FLIP_SHARE,
            classes=classes,
        )
        rows = [dict(pool[row]) for row in draw.train]
        for place, shift in zip(draw.flipped.tolist(), draw.shifts.tolist(), strict=True):
            rows[place]["label"] = flip(rows[place]["label"], shift, classes)
        task = make_task(classes)
        return task, task.tokenise(rows), task.tokenise([tests[row] for row in draw.test])

    def _train_fully(self, task: Any, rows: Sequence[EncodedRow], tests: Sequence[EncodedRow], run: int) -> None:
        recipe = self._recipe(self.seed + _RUNS_APART * run)
        model = self._fresh(task, recipe.seed)
        rates: dict[int, float] = {}

        def keep(epoch: Epoch) -> None:
            rates[epoch.number] = epoch.learning_rate
            if epoch.number in self.kept:
                for of, encoded in (("g", rows), ("h", tests)):
                    np.save(self.folder / f"{of}{run}-{epoch.number}.npy", self._collect(model, task, encoded))

        train(model, task, rows, recipe, device=_CPU, on_epoch=keep)
        self._run_file(run).write_text(json.dumps({"rates": rates}))

    def _collect(self, model: Any, task: Any, encoded: Sequence[EncodedRow]) -> NDArray[np.float32]:
        collector = GradientCollector(model, task.row_losses)
        sizes = [block.parameters for block in collector.blocks]
        found = np.empty((len(encoded), sum(sizes)), np.float32)
        options = BatchOptions(device=_CPU, budget=TokenBudget(_TOKENS))
        for places, batch in stream_gradients(collector, encoded, task.collate, options):
            found[places] = torch.cat([rows.float() for rows in batch.blocks.values()], 1).numpy()
        (self.folder / "sizes.json").write_text(json.dumps(sizes))
        return found

    def _recipe(self, seed: int) -> TrainingRecipe:
        return TrainingRecipe(epochs=self.epochs, seed=seed)

    def _fresh(self, task: Any, seed: int) -> Any:
        torch.manual_seed(seed)
        shape = LoraShape()
        config = LoraConfig(
            r=shape.r,
            lora_alpha=int(shape.lora_alpha),
            lora_dropout=self._recipe(seed).lora_dropout,
            target_modules=["query", "value"],
            task_type="SEQ_CLS",
        )
        return get_peft_model(make_encoder(task.num_labels), config)

    def _run_file(self, run: int) -> Path:
        return self.folder / f"run{run}.json"

    def _loss_file(self, repeat: int, half: int) -> Path:
        return self.folder / f"loss{repeat}-{half}.npy"

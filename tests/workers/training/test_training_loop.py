"""Training an adapter: what it reaches, that a seed decides it, and that it can be stopped."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import make_ticket_rows
from support.tiny import LABELS, TinyCheckpoint

from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.contracts.evaluation.experiment import Optimizer, TrainingRecipe
from influence.contracts.index import GradientSettings
from influence.errors import Cancelled, NonFiniteGradients
from workers.loading.checkpoint import LoadedCheckpoint, make_untrained
from workers.loading.options import LoadOptions
from workers.training.loop import (
    Epoch,
    batch_by_length,
    learning_rate_factor,
    make_optimiser,
    measure_losses,
    train,
)

CPU = torch.device("cpu")
ROWS = [{**row, "label": LABELS[number % 2]} for number, row in enumerate(make_ticket_rows(24))]
for place, one in enumerate(ROWS):
    one["text"] = ("refund " if place % 2 == 0 else "login ") + str(one["text"])


def fresh(classifier: TinyCheckpoint, seed: int) -> LoadedCheckpoint:
    checkpoint = Checkpoint(
        id="ckpt_x",
        base_model=BaseModelRef(name="tiny", kind="path", location=str(classifier.base)),
        task="sequence_classification",
        adapter={"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["query", "value"]},
        adapter_digest="",
        label_names=LABELS,
        num_labels=len(LABELS),
        parameters=0,
        tensors=0,
        created_at=now(),
    )
    settings = GradientSettings(max_length=64)
    return make_untrained(checkpoint, None, settings, LoadOptions(cache_dir=Path("unused")), seed=seed, dropout=0.1)


def trained(classifier: TinyCheckpoint, recipe: TrainingRecipe) -> torch.Tensor:
    loaded = fresh(classifier, recipe.seed)
    encoded = loaded.task.tokenise(ROWS)
    train(loaded.model, loaded.task, encoded, recipe, device=CPU)
    return measure_losses(loaded.model, loaded.task, encoded, device=CPU, batch_rows=5)


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 0.02), ("sgd", 0.5)])
def test_training_learns_what_the_rows_say(classifier: TinyCheckpoint, optimizer: Optimizer, rate: float) -> None:
    loaded = fresh(classifier, 0)
    encoded = loaded.task.tokenise(ROWS)
    before = measure_losses(loaded.model, loaded.task, encoded, device=CPU).mean()
    recipe = TrainingRecipe(optimizer=optimizer, epochs=30, learning_rate=rate)
    train(loaded.model, loaded.task, encoded, recipe, device=CPU)
    assert measure_losses(loaded.model, loaded.task, encoded, device=CPU).mean() < 0.8 * before
    assert not loaded.model.training


@pytest.mark.parametrize(("optimizer", "step"), [("adamw", [0.1, 0.1]), ("sgd", [0.1, 0.4])])
def test_the_recipes_optimiser_takes_its_own_steps(optimizer: Optimizer, step: list[float]) -> None:
    weight = torch.zeros(2, requires_grad=True)
    recipe = TrainingRecipe(optimizer=optimizer, learning_rate=0.1, weight_decay=0.0)
    weight.grad = torch.tensor([1.0, 4.0])
    make_optimiser([weight], recipe).step()
    assert torch.allclose(-weight.detach(), torch.tensor(step), atol=1e-6)


def test_only_the_adapter_and_the_head_change(classifier: TinyCheckpoint) -> None:
    loaded = fresh(classifier, 0)
    before = {name: weight.clone() for name, weight in loaded.model.named_parameters()}
    train(loaded.model, loaded.task, loaded.task.tokenise(ROWS), TrainingRecipe(epochs=1), device=CPU)
    changed = {name for name, weight in loaded.model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed
    assert all("lora_" in name or "modules_to_save" in name for name in changed)


def test_a_seed_decides_the_weights_and_another_seed_others(classifier: TinyCheckpoint) -> None:
    first, again, other = (trained(classifier, TrainingRecipe(epochs=2, seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_what_others_draw_between_steps_changes_nothing(classifier: TinyCheckpoint) -> None:
    losses = []
    for drawn in (0, 7):

        def disturb(_step: int, _steps: int, drawn: int = drawn) -> None:
            torch.rand(drawn)

        loaded = fresh(classifier, 3)
        encoded = loaded.task.tokenise(ROWS)
        train(
            loaded.model,
            loaded.task,
            encoded,
            TrainingRecipe(epochs=2, seed=3),
            device=CPU,
            watch=disturb,
        )
        losses.append(measure_losses(loaded.model, loaded.task, encoded, device=CPU))
    assert torch.equal(*losses)


def test_a_training_leaves_the_process_its_random_numbers(classifier: TinyCheckpoint) -> None:
    loaded = fresh(classifier, 0)
    encoded = loaded.task.tokenise(ROWS)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train(loaded.model, loaded.task, encoded, TrainingRecipe(epochs=1), device=CPU)
    assert torch.equal(torch.rand(3), expected)


def test_losses_do_not_depend_on_the_batches_they_are_measured_in(classifier: TinyCheckpoint) -> None:
    loaded = fresh(classifier, 0)
    encoded = loaded.task.tokenise(ROWS)
    alone, together = (
        measure_losses(loaded.model, loaded.task, encoded, device=CPU, batch_rows=rows) for rows in (1, 24)
    )
    assert torch.allclose(alone, together, atol=1e-6)


def test_epochs_and_steps_are_heard_of_in_evaluation_mode(classifier: TinyCheckpoint) -> None:
    loaded = fresh(classifier, 0)
    seen: list[Epoch] = []
    steps: list[tuple[int, int]] = []
    recipe = TrainingRecipe(epochs=3, batch_rows=10, learning_rate=0.01)

    def on_epoch(epoch: Epoch) -> None:
        assert not loaded.model.training
        seen.append(epoch)

    train(
        loaded.model,
        loaded.task,
        loaded.task.tokenise(ROWS),
        recipe,
        device=CPU,
        on_epoch=on_epoch,
        watch=lambda step, total: steps.append((step, total)),
    )
    assert [epoch.number for epoch in seen] == [1, 2, 3]
    assert steps == [(number, 9) for number in range(1, 10)]
    assert seen[0].learning_rate > seen[2].learning_rate > 0


def test_a_watch_that_raises_ends_the_training(classifier: TinyCheckpoint) -> None:
    loaded = fresh(classifier, 0)

    def stop(step: int, _steps: int) -> None:
        if step == 2:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        train(loaded.model, loaded.task, loaded.task.tokenise(ROWS), TrainingRecipe(), device=CPU, watch=stop)


def test_a_loss_that_is_no_number_is_refused_with_a_way_out(classifier: TinyCheckpoint) -> None:
    loaded = fresh(classifier, 0)
    with torch.no_grad():
        next(weight for weight in loaded.model.parameters() if weight.requires_grad).fill_(float("nan"))
    with pytest.raises(NonFiniteGradients) as caught:
        train(loaded.model, loaded.task, loaded.task.tokenise(ROWS), TrainingRecipe(), device=CPU)
    assert "learning_rate" in caught.value.hint


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 400), st.floats(0, 1))
def test_the_learning_rate_rises_then_falls_and_never_leaves_its_bounds(steps: int, warmup_share: float) -> None:
    recipe = TrainingRecipe(warmup_share=warmup_share)
    factors = [learning_rate_factor(step, steps, recipe) for step in range(steps)]
    peak = int(np.argmax(factors))
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 17), st.integers(0, 99))
def test_every_row_is_in_one_batch_with_rows_of_its_length(lengths: list[int], batch_rows: int, seed: int) -> None:
    batches = list(batch_by_length(lengths, batch_rows, random.Random(seed)))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    ranges = sorted((min(lengths[row] for row in batch), max(lengths[row] for row in batch)) for batch in batches)
    assert all(earlier[1] <= later[0] or earlier[0] == later[0] for earlier, later in itertools.pairwise(ranges))

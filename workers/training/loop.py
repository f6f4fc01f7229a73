"""The training loop: rows in, what requires a gradient trained in the model."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from influence.contracts.evaluation.experiment import TrainingRecipe
from influence.errors import NonFiniteGradients
from workers.gradients.passes import failing_by_name
from workers.rows import EncodedRow
from workers.tasks.base import DrawsInTraining, OfTokens, Task
from workers.training.randomness import Randomness

_SGD_MOMENTUM = 0.9


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch that ended: its number from 1, the mean learning rate of its steps and the mean loss of its batches."""

    number: int
    learning_rate: float
    loss: float


def train(
    model: nn.Module,
    task: Task,
    encoded: Sequence[EncodedRow],
    recipe: TrainingRecipe,
    *,
    device: torch.device,
    lock: AbstractContextManager[object] | None = None,
    watch: Callable[[int, int], None] = lambda _step, _steps: None,
    on_epoch: Callable[[Epoch], None] = lambda _epoch: None,
) -> float:
    """Train what requires a gradient, in place; answers the last epoch's mean loss and leaves evaluation mode on.

    The lock is held for one step at a time; `watch` hears of (steps done, all steps) outside it and may raise.
    Raises NonFiniteGradients when the loss stops being a number.
    """
    rng, randomness = random.Random(recipe.seed), Randomness(recipe.seed, device)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = make_optimiser(weights, recipe)
    steps = count_steps(len(encoded), recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate_factor(step, steps, recipe))
    step, ended = 0, Epoch(0, 0.0, 0.0)
    for number in range(1, recipe.epochs + 1):
        model.train()
        rates, losses = list[float](), list[float]()
        for rows in batch_by_length([row.length for row in encoded], recipe.batch_rows, rng):
            with lock or nullcontext(), randomness.in_place():
                rates.append(float(schedule.get_last_lr()[0]))
                losses.append(_step(model, task, [encoded[row] for row in rows], weights, optimiser, recipe, device))
                schedule.step()
            step += 1
            watch(step, steps)
        model.eval()
        ended = Epoch(number, sum(rates) / len(rates), sum(losses) / len(losses))
        on_epoch(ended)
    return ended.loss


def make_optimiser(weights: Sequence[Tensor], recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """The recipe's optimiser of these weights, at its highest learning rate."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            weights, lr=recipe.learning_rate, momentum=_SGD_MOMENTUM, weight_decay=recipe.weight_decay
        )
    return torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


def _step(
    model: nn.Module,
    task: Task,
    rows: Sequence[EncodedRow],
    weights: Sequence[Tensor],
    optimiser: torch.optim.Optimizer,
    recipe: TrainingRecipe,
    device: torch.device,
) -> float:
    batch = task.collate(rows).to(device)
    drawn = task.training_losses if isinstance(task, DrawsInTraining) else task.row_losses
    with failing_by_name():
        losses = drawn(model, batch)
    loss = losses.sum() / (task.loss_units(batch) if isinstance(task, OfTokens) else len(rows))
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(weights, recipe.max_gradient_norm)
    optimiser.step()
    value = float(loss.detach())
    if value != value or value in (float("inf"), float("-inf")):
        raise NonFiniteGradients(
            "The loss stopped being a number in training.",
            hint="Lower the recipe's learning_rate or max_gradient_norm.",
        )
    return value


def count_steps(rows: int, recipe: TrainingRecipe) -> int:
    """Steps that training on so many rows takes."""
    return recipe.epochs * -(-rows // recipe.batch_rows)


def learning_rate_factor(step: int, steps: int, recipe: TrainingRecipe) -> float:
    """What the learning rate is multiplied by before step `step` of `steps`, counted from 0."""
    warmup = round(recipe.warmup_share * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, (steps - step) / max(1, steps - warmup))


def batch_by_length(lengths: Sequence[int], batch_rows: int, rng: random.Random) -> Iterator[list[int]]:
    """Positions, each once: rows of like length together, batches and ties in random order."""
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], rng.random()))
    batches = [order[start : start + batch_rows] for start in range(0, len(order), batch_rows)]
    rng.shuffle(batches)
    yield from batches


@torch.no_grad()
def measure_losses(
    model: nn.Module,
    task: Task,
    encoded: Sequence[EncodedRow],
    *,
    device: torch.device,
    lock: AbstractContextManager[object] | None = None,
    batch_rows: int = 32,
) -> Tensor:
    """Losses (rows,) float32 on the CPU, in order, in evaluation mode."""
    model.eval()
    losses = torch.empty(len(encoded), dtype=torch.float32)
    order = sorted(range(len(encoded)), key=lambda row: -encoded[row].length)
    for start in range(0, len(order), batch_rows):
        rows = order[start : start + batch_rows]
        with lock or nullcontext():
            batch = task.collate([encoded[row] for row in rows]).to(device)
            with failing_by_name():
                losses[rows] = task.row_losses(model, batch).float().cpu()
    return losses

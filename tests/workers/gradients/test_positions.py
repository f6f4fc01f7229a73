"""What each position of a row adds: against gradients of whole rows, and against a weight that changes there alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from support.rows import make_completion_rows, make_ticket_rows
from support.tiny import make_causal, make_classifier, make_deberta
from support.trials.exactness import load_tiny
from support.trials.float64 import Float64Throughout
from torch import Tensor

from influence.errors import UnsupportedModule
from workers.gradients.collector import GradientCollector
from workers.gradients.sites import group_by_module
from workers.loading.checkpoint import LoadedCheckpoint
from workers.rows import Batch

STEP = 1e-5
MADE = {
    "causal": (make_causal, make_completion_rows(5)),
    "classifier": (make_classifier, [{**row, "label": place % 3} for place, row in enumerate(make_ticket_rows(5))]),
    "deberta": (make_deberta, [{**row, "label": place % 3} for place, row in enumerate(make_ticket_rows(5))]),
}


@pytest.fixture(params=sorted(MADE))
def case(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[LoadedCheckpoint, GradientCollector, Batch]:
    make, rows = MADE[request.param]
    loaded = load_tiny(make(tmp_path))
    collector = GradientCollector(loaded.model, loaded.task.row_losses, include_bias=True)
    return loaded, collector, loaded.task.collate(loaded.task.tokenise(rows))


def draw_directions(collector: GradientCollector) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        block.name: torch.randn(block.parameters, generator=generator, dtype=torch.float64)
        for block in collector.blocks
    }


def test_positions_add_up_to_the_inner_product_with_the_rows_gradient(case: Any) -> None:
    _, collector, batch = case
    directions = draw_directions(collector)
    with Float64Throughout():
        collector.collect(batch)
        gradients = collector.collect(batch).blocks
        parts = collector.split_positions(batch, directions)
    truth = sum(gradients[name] @ directions[name] for name in directions)
    torch.testing.assert_close(parts.sum(dim=1), truth, rtol=1e-8, atol=1e-10)
    padding = batch.inputs["attention_mask"] == 0
    assert bool((parts[:, :-1][padding].abs() < 1e-12).all())


@contextmanager
def moved_at(collector: GradientCollector, directions: dict[str, Tensor], place: int, step: float) -> Iterator[None]:
    """Weights moved a step in their directions, for what layers put out at one position alone."""
    handles = []
    for site in group_by_module(collector._tensors):
        moved = {name: directions[tensor.block].view_as(tensor.parameter) for name, tensor in site.tensors.items()}

        def add(_module: Any, args: Any, output: Tensor, moved: Any = moved) -> Tensor | None:
            if output.ndim < 3:
                return None
            change = torch.zeros_like(output)
            change[:, place] = args[0][:, place] @ moved["weight"].t() + moved.get("bias", 0.0)
            return output + step * change

        handles.append(site.module.register_forward_hook(add))
    yield
    for handle in handles:
        handle.remove()


def test_a_position_adds_what_the_loss_changes_by_when_weights_move_there(case: Any) -> None:
    loaded, collector, batch = case
    directions = draw_directions(collector)
    with Float64Throughout():
        parts = collector.split_positions(batch, directions)
    with Float64Throughout(), torch.no_grad():
        for place in range(batch.inputs["input_ids"].shape[1]):
            losses = []
            for step in (STEP, -STEP):
                with moved_at(collector, directions, place, step):
                    losses.append(loaded.task.row_losses(loaded.model, batch))
            found = (losses[0] - losses[1]) / (2 * STEP)
            torch.testing.assert_close(parts[:, place], found, rtol=1e-5, atol=1e-7)


def test_only_layers_after_pooling_read_a_row_as_a_whole(case: Any, request: pytest.FixtureRequest) -> None:
    _, collector, batch = case
    with Float64Throughout():
        whole = collector.split_positions(batch, draw_directions(collector))[:, -1]
    is_causal = "causal" in request.node.name
    assert bool((whole == 0).all()) is is_causal


def test_a_layer_that_takes_the_slow_path_is_refused_by_name(case: Any) -> None:
    _, collector, batch = case
    collector._slow.add(name := collector.blocks[-1].name)
    with pytest.raises(UnsupportedModule, match=name):
        collector.split_positions(batch, draw_directions(collector))

"""What each token's own loss adds: against gradients of whole rows, and against weights that move a little."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from support.rows import make_completion_rows
from support.tiny import make_causal
from support.trials.exactness import load_tiny
from support.trials.float64 import Float64Throughout
from torch import Tensor

from influence.contracts.common import Reduction
from influence.errors import UnsupportedModule
from workers.gradients.collector import Collector, GradientCollector
from workers.gradients.joined import JoinedCollector
from workers.gradients.losses import row_sum_cross_entropy
from workers.loading.checkpoint import LoadedCheckpoint
from workers.rows import Batch

STEP = 1e-5


@pytest.fixture(params=["mean", "sum"])
def case(
    tmp_path: Path, request: pytest.FixtureRequest
) -> tuple[LoadedCheckpoint, GradientCollector, Batch, Reduction]:
    loaded = load_tiny(make_causal(tmp_path), reduction=request.param)
    collector = GradientCollector(loaded.model, loaded.task.row_losses, include_bias=True)
    batch = loaded.task.collate(loaded.task.tokenise(make_completion_rows(5)))
    return loaded, collector, batch, request.param


def draw_directions(collector: Collector) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {
        block.name: torch.randn(block.parameters, generator=generator, dtype=torch.float64)
        for block in collector.blocks
    }


@contextmanager
def moved(collector: GradientCollector, directions: dict[str, Tensor], step: float) -> Iterator[None]:
    kept = {tensor.block: tensor.parameter.detach().clone() for tensor in collector._tensors}
    with torch.no_grad():
        for tensor in collector._tensors:
            tensor.parameter.add_(step * directions[tensor.block].view_as(tensor.parameter))
    yield
    with torch.no_grad():
        for tensor in collector._tensors:
            tensor.parameter.copy_(kept[tensor.block])


def test_tokens_add_up_to_the_inner_product_with_the_rows_gradient(case: Any) -> None:
    loaded, collector, batch, reduction = case
    directions = draw_directions(collector)
    with Float64Throughout():
        collector.collect(batch)
        gradients = collector.collect(batch).blocks
        parts = collector.split_losses(batch, directions, loaded.task.token_losses, reduction)
    truth = sum(gradients[name] @ directions[name] for name in directions)
    torch.testing.assert_close(parts.sum(dim=1), truth, rtol=1e-9, atol=1e-11)
    falls = batch.labels[:, 1:] != -100
    assert bool((parts[:, 1:][~falls] == 0).all())
    assert bool((parts[:, 0] == 0).all())
    assert bool((parts[:, 1:][falls] != 0).all())


def test_tokens_add_up_over_checkpoints_that_are_joined(case: Any) -> None:
    loaded, own, batch, reduction = case
    earlier = {name: 0.5 * value.detach() for name, value in loaded.model.named_parameters() if value.requires_grad}
    joined = JoinedCollector(own, ("early", "last"), {"early": earlier})
    directions = draw_directions(joined)
    with Float64Throughout():
        joined.collect(batch)
        gradients = joined.collect(batch).blocks
        parts = joined.split_losses(batch, directions, loaded.task.token_losses, reduction)
    truth = sum(gradients[name] @ directions[name] for name in directions)
    torch.testing.assert_close(parts.sum(dim=1), truth, rtol=1e-9, atol=1e-11)


def test_a_token_adds_what_its_loss_changes_by_when_weights_move(case: Any) -> None:
    loaded, collector, batch, reduction = case
    directions = draw_directions(collector)
    with Float64Throughout(), torch.no_grad():
        parts = collector.split_losses(batch, directions, loaded.task.token_losses, reduction)
        losses = []
        for step in (STEP, -STEP):
            with moved(collector, directions, step):
                losses.append(loaded.task.token_losses(loaded.model, batch))
    found = ((losses[0] - losses[1]) / (2 * STEP)).nan_to_num()
    count = (batch.labels[:, 1:] != -100).sum(dim=1, keepdim=True) if reduction == "mean" else 1
    torch.testing.assert_close(parts, found / count, rtol=1e-5, atol=1e-7)


def test_the_models_weights_are_left_as_they_were(case: Any) -> None:
    loaded, collector, batch, reduction = case
    before = {name: (parameter, parameter.detach().clone()) for name, parameter in loaded.model.named_parameters()}
    collector.split_losses(batch, draw_directions(collector), loaded.task.token_losses, reduction)
    for name, parameter in loaded.model.named_parameters():
        assert parameter is before[name][0]
        assert torch.equal(parameter, before[name][1])


class _Opaque(torch.autograd.Function):
    """A function that is differentiated backwards alone, as those of quantised layers are."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(context: Any, *deltas: Tensor) -> Tensor:
        return deltas[0]


def test_a_model_without_forward_derivatives_is_refused_with_another_way(case: Any) -> None:
    _, collector, batch, reduction = case

    def losses_of(model: Any, asked: Batch) -> Tensor:
        logits = model(**asked.inputs).logits
        return _Opaque.apply(row_sum_cross_entropy(logits[:, :-1], asked.labels[:, 1:]))[:, None]  # type: ignore[no-untyped-call,no-any-return]

    with pytest.raises(UnsupportedModule) as caught:
        collector.split_losses(batch, draw_directions(collector), losses_of, reduction)
    assert '"position"' in caught.value.hint

"""The oracle: every row alone in a batch of one, without padding, by plain autograd."""

import contextlib

import torch
from torch import Tensor, nn

from support.gradients.tiny_models import Example
from support.trials.float64 import Float64Throughout
from workers.gradients.collector import GradientCollector
from workers.gradients.trainable import readable_name

#: Against a model's largest block, a gradient smaller than this is zero in float64 arithmetic.
ROUNDING = 1e-14


def gradients_one_by_one(example: Example) -> dict[str, Tensor]:
    """(rows, d) of every weight that requires a gradient."""
    trainable = trainable_parameters(example.model)
    rows: list[list[Tensor]] = []
    for row in example.rows:
        with _arithmetic_of(example):
            loss = example.row_losses(example.model, example.collate([row]))[0]
            values = torch.autograd.grad(loss, list(trainable.values()), allow_unused=True)
        rows.append([torch.zeros_like(p) if v is None else v for p, v in zip(trainable.values(), values, strict=True)])
    return {name: torch.stack([row[at] for row in rows]).flatten(1) for at, name in enumerate(trainable)}


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Readable names of the weights that require a gradient; a shared weight counts once."""
    return {readable_name(name): p for name, p in model.named_parameters() if p.requires_grad}


def assert_exact(
    example: Example, *, tolerance: float = 1e-10, slow: tuple[str, ...] = (), include_bias: bool = True
) -> GradientCollector:
    """Gradients of one padded batch equal the oracle's for every block; blocks named by `slow` alone are slow.

    The second pass over the batch is the one that is not checked by the collector itself.
    """
    expected = gradients_one_by_one(example)
    collector = GradientCollector(example.model, example.row_losses, include_bias=include_bias)
    for _ in range(2):
        with _arithmetic_of(example):
            found = collector.collect(example.collate(example.rows)).blocks
        assert set(found) == {name for name in expected if include_bias or not name.endswith("bias")}
        largest = max(float(values.norm()) for values in expected.values())
        for name, values in found.items():
            if expected[name].norm() < ROUNDING * largest:  # a softmax does not see the bias of its keys
                assert values.norm() < ROUNDING * largest
                continue
            error = relative_error(values, expected[name], by_row=tolerance < 1e-7)
            assert error < tolerance, f"{name}: relative error {error:.2e}"
    wrong = [
        block.name for block in collector.blocks if (block.path == "slow") != any(part in block.name for part in slow)
    ]
    assert not wrong, f"on another path than expected: {wrong}"
    return collector


def relative_error(found: Tensor, expected: Tensor, *, by_row: bool) -> float:
    """|found - expected| / |expected| of a block (rows, d), or the largest over its rows.

    A row with next to no gradient, against the others, is measured against a thousandth of theirs.
    """
    whole = expected.double().norm()
    difference = found.double() - expected.double()
    if not by_row:
        return float(difference.norm() / whole.clamp_min(1e-30))
    scale = expected.norm(dim=1).clamp_min(float(whole) * 1e-3).clamp_min(1e-30)
    return float((difference.norm(dim=1) / scale).max())


def _arithmetic_of(example: Example) -> contextlib.AbstractContextManager[object]:
    is_float64 = next(example.model.parameters()).dtype == torch.float64
    return Float64Throughout() if is_float64 else contextlib.nullcontext()

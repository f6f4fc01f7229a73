"""The heart of the service: every row's own gradient at the price of one training step.

One forward and one backward of a padded batch. Hooks on the trainable modules keep the input x and the output y;
`autograd.grad` of the summed row losses with respect to the outputs alone gives delta without accumulating a single
weight gradient, and `delta' x` summed over positions is each row's gradient (see `capture`). Weights without such a
rule take a slower, equally exact path: one backward a row through the same graph.

The first batch is checked: the gradients of one of its rows are taken once more by plain autograd. A module whose
batch rows do not stay apart (tokens routed through experts, say) is found out there and goes the slower way.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from influence.contracts.index import Block, Precision
from influence.errors import NothingTrainable, UnsupportedModule
from workers.gradients.capture import RULES, Recorder, Rule
from workers.gradients.naming import readable_name
from workers.rows import Batch

RowLosses = Callable[[nn.Module, Batch], Tensor]

#: How far the fast path may differ from plain autograd on the first batch before it is mistrusted (relative, a block).
_CHECK_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}
_CHECK_TOLERANCE_BFLOAT16 = 0.1


@dataclass(frozen=True, slots=True)
class RowGradients:
    """`losses` (B,), and per block the rows' gradients (B, d), flattened like the parameter, float32 or float64."""

    losses: Tensor
    blocks: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class _Weight:
    """One trainable tensor: the module that owns it, and the rule of its fast path if it has one."""

    block: str
    parameter: nn.Parameter
    module_name: str
    module: nn.Module
    rule: Rule | None


class GradientCollector:
    """Gradients of each row of a batch for every trainable weight of a model in evaluation mode.

    `row_losses(model, batch)` gives one loss a row (B,), independent of the other rows.
    Raises NothingTrainable when no weight requires a gradient.
    """

    def __init__(
        self,
        model: nn.Module,
        row_losses: RowLosses,
        *,
        include_bias: bool = False,
        precision: Precision = "float32",
    ) -> None:
        self.model = model
        self._row_losses = row_losses
        self._precision = precision
        self._weights = _find_weights(model, include_bias)
        if not self._weights:
            raise NothingTrainable("No weight of this model requires a gradient.")
        self._recorder = Recorder({w.module_name: w.module for w in self._weights if w.rule is not None})
        self._checked = False

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The trainable weights in the model's order."""
        return tuple(
            Block(
                name=weight.block,
                shape=tuple(weight.parameter.shape),
                parameters=weight.parameter.numel(),
                path="slow" if weight.rule is None else "fast",
            )
            for weight in self._weights
        )

    def collect(self, batch: Batch) -> RowGradients:
        """Losses and gradients of the batch's rows, in its order.

        Raises UnsupportedModule when a module is in training mode: dropout would make gradients random.
        """
        self._refuse_train_mode()
        try:
            losses = self._forward(batch)
            if not self._checked:
                self._check_fast_path(losses)
            return self._gradients(losses, retain_graph=False)
        finally:
            self._recorder.clear()

    def _refuse_train_mode(self) -> None:
        training = [name for name, module in self.model.named_modules() if module.training]
        if training:
            raise UnsupportedModule(
                f"{len(training)} modules are in training mode, for example '{training[0] or 'the model'}'.",
                hint="Call model.eval() first.",
            )

    def _forward(self, batch: Batch) -> Tensor:
        with self._recorder, torch.enable_grad(), self._autocast(batch):
            losses = self._row_losses(self.model, batch)
        if losses.shape != (len(batch),):
            raise ValueError(f"row_losses gave shape {tuple(losses.shape)} for {len(batch)} rows")
        return losses

    def _autocast(self, batch: Batch) -> contextlib.AbstractContextManager[object]:
        if self._precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(batch.labels.device.type, dtype=torch.bfloat16)

    def _gradients(self, losses: Tensor, *, retain_graph: bool) -> RowGradients:
        slow = [weight for weight in self._weights if weight.rule is None]
        found = dict(self._fast_gradients(losses, retain_graph=retain_graph or bool(slow)))
        if slow:
            found.update(_loop_gradients(losses, slow))
        return RowGradients(losses.detach(), {weight.block: found[weight.block] for weight in self._weights})

    def _fast_gradients(self, losses: Tensor, *, retain_graph: bool) -> Iterator[tuple[str, Tensor]]:
        fast = [weight for weight in self._weights if weight.rule is not None]
        outputs = [out for capture in self._recorder.captures.values() for out in capture.outputs]
        if not fast or not outputs:
            yield from ((weight.block, _zeros(losses, weight)) for weight in fast)
            return
        deltas = iter(torch.autograd.grad(losses.sum(), outputs, retain_graph=retain_graph, allow_unused=True))
        by_module = {
            name: [(x, next(deltas)) for x in capture.inputs] for name, capture in self._recorder.captures.items()
        }
        for weight in fast:
            yield weight.block, _apply_rule(weight, by_module[weight.module_name], losses)

    def _check_fast_path(self, losses: Tensor) -> None:
        """Compare the last row with plain autograd; what differs takes the slower path from now on."""
        fast = [weight for weight in self._weights if weight.rule is not None]
        row = len(losses) - 1
        expected = torch.autograd.grad(
            losses[row], [weight.parameter for weight in fast], retain_graph=True, allow_unused=True
        )
        found = dict(self._fast_gradients(losses, retain_graph=True))
        wrong = {
            weight.block
            for weight, truth in zip(fast, expected, strict=True)
            if not self._agrees(found[weight.block], row, truth)
        }
        self._weights = [
            _Weight(w.block, w.parameter, w.module_name, w.module, None) if w.block in wrong else w
            for w in self._weights
        ]
        # A single row cannot tell whether rows stay apart, so a later batch is asked again.
        self._checked = len(losses) > 1

    def _agrees(self, found: Tensor, row: int, truth: Tensor | None) -> bool:
        if row >= len(found):
            return False
        truth = found.new_zeros(found.shape[1]) if truth is None else truth.detach().flatten().to(found.dtype)
        if not (torch.isfinite(truth).all() and torch.isfinite(found[row]).all()):
            return True  # caught and named row by row at collection
        tolerance = _CHECK_TOLERANCE_BFLOAT16 if self._precision == "bfloat16" else _CHECK_TOLERANCE[found.dtype]
        difference = (found[row] - truth).norm()
        return bool(difference <= tolerance * truth.norm() + 1e-12)


def _find_weights(model: nn.Module, include_bias: bool) -> list[_Weight]:
    found: list[_Weight] = []
    seen: set[int] = set()
    for module_name, module in model.named_modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            wanted = parameter.requires_grad and (include_bias or not _is_bias(attribute))
            if wanted and id(parameter) not in seen:
                seen.add(id(parameter))
                rule = RULES.get(type(module), {}).get(attribute)
                block = readable_name(f"{module_name}.{attribute}" if module_name else attribute)
                found.append(_Weight(block, parameter, module_name, module, rule))
    return found


def _is_bias(attribute: str) -> bool:
    return attribute == "bias" or attribute.endswith("_bias")


def _apply_rule(weight: _Weight, uses: Sequence[tuple[Tensor, Tensor | None]], losses: Tensor) -> Tensor:
    total = _zeros(losses, weight)
    for x, delta in uses:
        if delta is None:
            continue
        if len(x) != len(losses):
            return total.new_full((0, weight.parameter.numel()), 0.0)  # rows do not stay apart: fails the check
        assert weight.rule is not None
        values = weight.rule(weight.module, x.to(delta.dtype) if x.is_floating_point() else x, delta)
        total = total + values.reshape(len(losses), -1).to(total.dtype)
    return total


def _zeros(losses: Tensor, weight: _Weight) -> Tensor:
    dtype = torch.float64 if weight.parameter.dtype == torch.float64 else torch.float32
    return torch.zeros(len(losses), weight.parameter.numel(), dtype=dtype, device=losses.device)


def _loop_gradients(losses: Tensor, weights: list[_Weight]) -> dict[str, Tensor]:
    """One backward a row through the graph of the whole batch: exact for any weight."""
    found = {weight.block: _zeros(losses, weight) for weight in weights}
    parameters = [weight.parameter for weight in weights]
    for row in range(len(losses)):
        last = row == len(losses) - 1
        values = torch.autograd.grad(losses[row], parameters, retain_graph=not last, allow_unused=True)
        for weight, value in zip(weights, values, strict=True):
            if value is not None:
                found[weight.block][row] = value.detach().flatten()
    return found

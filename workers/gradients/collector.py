"""The heart of the service: every row's own gradient at the price of one training step.

    batch (B rows, padded) -> one forward, one backward -> losses (B,), gradients (B, d) for every trainable tensor

Fast path (`capture`, `rules`): hooks on the trainable modules see input x and delta, the gradient of the output, of
all rows at once; a row's gradient is `delta' x` summed over that row's positions. Plain LoRA layers are one step of
the graph each (`fused`). Slow path (`row_loop`): one row at a time by plain autograd, for tensors that no module call
accounts for.

Trust but verify: with the first batch, its first and its last row are taken once more by plain autograd. A tensor
whose fast gradient differs (tokens routed out of order, a weight used behind its module's back) goes the slow way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from influence.contracts.common import Reduction
from influence.contracts.index import Block, GradientParts, Precision
from influence.errors import NothingTrainable, UnsupportedModule
from workers.gradients.agreement import find_disagreements, is_conclusive
from workers.gradients.capture import BatchPass, Factors
from workers.gradients.copies import mean_directions
from workers.gradients.fused.calls import find_fused
from workers.gradients.passes import failing_by_name
from workers.gradients.row_loop import loop_gradients, row_gradients
from workers.gradients.sites import group_by_module
from workers.gradients.tokens.positions import Directions, PositionPass
from workers.gradients.tokens.tangents import TokenLosses, split_by_loss
from workers.gradients.trainable import TrainableTensor, find_trainable, refuse_mixed_rows
from workers.rows import Batch

RowLosses = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True, slots=True)
class RowGradients:
    """`losses` (B,), and per block the rows' gradients (B, d), flattened like the parameter, float32 or float64.

    `factors`, where asked for: Kronecker factors by block, summed over the rows, of blocks that have any. `outputs`
    (B, ...), where asked for: the logits that the losses were made of; None where the rows were taken one by one.
    """

    losses: Tensor
    blocks: dict[str, Tensor]
    factors: Mapping[str, Factors] = field(default_factory=dict)
    outputs: Tensor | None = None

    def find_non_finite(self) -> list[int]:
        """Rows with a NaN or infinite loss or gradient, which poisons every score: one sum per block shows it."""
        sums = torch.stack([self.losses.double(), *(g.sum(dim=1).double() for g in self.blocks.values())])
        return torch.nonzero(~torch.isfinite(sums).all(dim=0)).flatten().tolist()


class Collector(Protocol):
    """What takes gradients: of one checkpoint, or of several joined (`workers.gradients.joined`)."""

    model: nn.Module

    @property
    def blocks(self) -> tuple[Block, ...]: ...

    @property
    def rounding(self) -> Precision: ...

    def collect(self, batch: Batch, *, with_factors: bool = False, with_outputs: bool = False) -> RowGradients: ...

    def split_positions(self, batch: Batch, directions: Directions) -> Tensor: ...

    def split_losses(
        self, batch: Batch, directions: Directions, losses_of: TokenLosses, reduction: Reduction
    ) -> Tensor: ...

    def evaluate(self, batch: Batch, compute: RowLosses | None = None) -> Tensor: ...


class GradientCollector:
    """Gradients of each row of a batch for every trainable tensor of a model in evaluation mode.

    `row_losses(model, batch)` gives one loss per row (B,), independent of the other rows. Not to be used by two threads
    at once. Raises NothingTrainable when no weight requires a gradient, UnsupportedModule for one that can have none.
    """

    def __init__(
        self,
        model: nn.Module,
        row_losses: RowLosses,
        *,
        include_bias: bool = False,
        parts: GradientParts = "all",
        precision: Precision = "float32",
        unit_copies: bool = False,
    ) -> None:
        """`unit_copies`: a row's gradient is the mean of its copies' gradients, each divided by its length first, which
        makes it the gradient of no loss."""
        self.model = model
        self._unit_copies = unit_copies
        self._row_losses = row_losses
        self._precision = precision
        self._tensors = find_trainable(model, include_bias=include_bias, parts=parts)
        if not self._tensors:
            raise NothingTrainable(
                "No weight of this model requires a gradient.",
                hint="Name trainable modules, or send the adapter that was trained; biases count with include_bias.",
            )
        self._rounding: Precision = "bfloat16" if _computes_in_16_bits(model) else precision
        self._slow: set[str] = set()
        self._verified = {"alone": False, "together": False}

    @property
    def rounding(self) -> Precision:
        """The precision by whose rounding a row's gradient differs with the rows beside it."""
        return self._rounding

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The trainable tensors in the model's order. Paths are final once a batch of several rows was collected."""
        return tuple(
            Block(
                name=tensor.block,
                shape=tuple(tensor.parameter.shape),
                parameters=tensor.parameter.numel(),
                path="slow" if tensor.block in self._slow else "fast",
            )
            for tensor in self._tensors
        )

    def collect(self, batch: Batch, *, with_factors: bool = False, with_outputs: bool = False) -> RowGradients:
        """Losses and gradients of the batch's rows, in its order, on the device of the losses.

        With factors also the Kronecker factors of weights that only multiply, and take the fast path. With outputs also
        the model's logits, of the pass that is made anyway.

        Raises UnsupportedModule when a module is in training mode or mixes rows.
        """
        refuse_mixed_rows(self.model)
        if not self._unit_copies:
            listening: AbstractContextManager[list[Tensor]] = listen(self.model) if with_outputs else nullcontext([])
            with listening as heard:
                found = self._collect(batch, with_factors=with_factors)
            whole = next((outputs for outputs in heard if len(outputs) == len(batch)), None)
            return replace(found, outputs=whole)
        copies = (self._collect(batch.take_copy(copy)) for copy in range(batch.copies))
        return RowGradients(*mean_directions((part.losses, part.blocks) for part in copies))

    def _collect(self, batch: Batch, *, with_factors: bool = False) -> RowGradients:
        losses, found, factors = None, dict[str, Tensor](), dict[str, Factors]()
        if fast := self._tensors_on("fast"):
            losses, found, factors = self._collect_fast(fast, batch, with_factors)
        if slow := self._tensors_on("slow"):
            with self._training_only(slow):
                losses, slowly_found = loop_gradients(slow, self._losses_of, batch)
            found |= slowly_found
        assert losses is not None
        factors = {block: pair for block, pair in factors.items() if block not in self._slow}
        return RowGradients(losses, {tensor.block: found[tensor.block] for tensor in self._tensors}, factors)

    def split_positions(self, batch: Batch, directions: Directions) -> Tensor:
        """What each position of the batch's rows adds to <u, g>: (B, T + 1) float64, see `PositionPass.split`.

        Raises UnsupportedModule, also for tensors that take the slow path.
        """
        refuse_mixed_rows(self.model)
        if slow := self._tensors_on("slow"):
            raise UnsupportedModule(
                f"What each token adds cannot be told of '{slow[0].block}': its gradients are taken row by row.",
                hint="Leave 'tokens' out of 'include'; 'blocks' says what each layer adds.",
            )
        work = PositionPass(group_by_module(self._tensors), len(batch), int(batch.inputs["input_ids"].shape[1]))
        work.run(lambda: self._losses_of(batch))
        with self._autocast(batch):
            return work.split(directions)

    def split_losses(
        self, batch: Batch, directions: Directions, losses_of: TokenLosses, reduction: Reduction
    ) -> Tensor:
        """What each token's own loss adds to <u, g>: (B, T) float64, see `split_by_loss`.

        Raises UnsupportedModule.
        """
        refuse_mixed_rows(self.model)
        with self._autocast(batch):
            return split_by_loss(self.model, self._tensors, losses_of, batch, directions, reduction)

    @torch.no_grad()
    def evaluate(self, batch: Batch, compute: RowLosses | None = None) -> Tensor:
        """What `compute` makes of a batch, the rows' losses (B,) by default, in the precision of gradients."""
        with self._autocast(batch), failing_by_name():
            return (compute or self._row_losses)(self.model, batch)

    def _tensors_on(self, path: str) -> list[TrainableTensor]:
        return [tensor for tensor in self._tensors if (tensor.block in self._slow) == (path == "slow")]

    def _collect_fast(
        self, tensors: Sequence[TrainableTensor], batch: Batch, with_factors: bool
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Factors]]:
        sites = group_by_module(tensors)
        factors_of = self.model if with_factors else None
        work = BatchPass(sites, batch, find_fused(self.model, sites), factors_of=factors_of)
        with self._training_only(tensors):
            losses = work.run(lambda: self._losses_of(batch))
            with self._autocast(batch):
                work.replay()
            self._slow |= work.refused
            found = {block: values.to(losses.device) for block, values in work.gradients.items()}
            self._verify(tensors, batch, found)
        for tensor in tensors:
            if tensor.block not in found:
                shape = (len(batch), tensor.parameter.numel())
                found[tensor.block] = torch.zeros(shape, dtype=tensor.dtype, device=losses.device)
        return losses, found, work.factors

    def _verify(self, tensors: Sequence[TrainableTensor], batch: Batch, found: dict[str, Tensor]) -> None:
        """Compare rows with plain autograd, once; one row alone cannot show whether rows are kept apart."""
        kind = "together" if len(batch) > 1 else "alone"
        if self._verified[kind]:
            return
        for row in sorted({0, len(batch) - 1}):
            _, truth = row_gradients(tensors, self._losses_of, batch, row)
            self._verified[kind] = is_conclusive(truth)
            if not self._verified[kind]:
                return
            self._slow |= find_disagreements(found, truth, row, self._rounding)

    def _losses_of(self, batch: Batch) -> Tensor:
        with torch.enable_grad(), self._autocast(batch), failing_by_name():
            losses = self._row_losses(self.model, batch)
        if losses.shape != (len(batch),):
            raise ValueError(f"row_losses gave shape {tuple(losses.shape)} for {len(batch)} rows")
        return losses

    def _autocast(self, batch: Batch) -> AbstractContextManager[object]:
        if self._precision == "float32":
            return nullcontext()
        return torch.autocast(batch.labels.device.type, dtype=torch.bfloat16)

    @contextmanager
    def _training_only(self, tensors: Sequence[TrainableTensor]) -> Iterator[None]:
        """Let no other weight require a gradient: graphs begin no lower than they must."""
        wanted = {id(tensor.parameter) for tensor in tensors}
        frozen = [p for p in self.model.parameters() if p.requires_grad and id(p) not in wanted]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)


@contextmanager
def listen(model: nn.Module) -> Iterator[list[Tensor]]:
    """The logits of every call of a model, as long as this lasts."""
    heard: list[Tensor] = []
    handle = model.register_forward_hook(lambda _model, _inputs, outputs: heard.append(outputs.logits.detach()))
    try:
        yield heard
    finally:
        handle.remove()


def _computes_in_16_bits(model: nn.Module) -> bool:
    """Whether weights are half precision or quantised, so that a row rounds otherwise alone than in a batch."""
    halves = (torch.bfloat16, torch.float16)
    return any(p.dtype in halves or not p.is_floating_point() for p in model.parameters())

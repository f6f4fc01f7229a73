"""One forward and one backward of a batch, listened to by hooks on the trainable modules.

A forward hook keeps the module's input; a hook on its output is called during the backward pass with delta, makes the
rows' gradients at once and lets both go. The backward pass is asked only for the lowest of those outputs, the sinks:
nothing below them is computed, no weight gradient is accumulated anywhere. A model that makes its embeddings require
a gradient (as for re-entrant checkpointing) has no lowest ones: then it is asked for all.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils._pytree import tree_leaves, tree_map_only

from workers.gradients.fused.calls import FusedLora, LoraCall, compute_fused
from workers.gradients.fused.convolution import FusedConvolution
from workers.gradients.fused.linear import FusedLinear
from workers.gradients.passes import differentiate
from workers.gradients.reach import Reach
from workers.gradients.rules import (
    MULTIPLIERS,
    multiplier_gradients,
    multiplier_pair,
    multiply_rows,
    position_products,
    replayed_gradients,
    split_rows,
)
from workers.gradients.sites import Site
from workers.rows import Batch

#: Kronecker factors (p, p) and (q, q) of a weight (p, q).
Factors = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class _Replay:
    """A module to be run again once the backward pass has left delta."""

    site: Site
    arguments: tuple[Any, Any]
    delta: Tensor


class BatchPass:
    """Gradients of one batch for the tensors of `sites`; LoRA layers in `fused` are one step of the graph each.

    `gradients` (B, d) by block name are sums over all uses of a tensor; a tensor that nothing used has none.
    `refused` names blocks whose rows could not be told apart. `factors` are there when the model is given that they
    are asked of: Kronecker factors (p, p) and (q, q) of a weight (p, q) as sums over uses, rows and positions, for
    weights that only multiply.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        batch: Batch,
        fused: Sequence[FusedLora] = (),
        *,
        factors_of: nn.Module | None = None,
    ) -> None:
        self.gradients: dict[str, Tensor] = {}
        self.factors: dict[str, Factors] = {}
        self.refused: set[str] = set()
        self._sites = sites
        self._fused = fused
        self._rows, self._copies = len(batch), batch.copies
        lengths = {values.shape[1] for values in [*batch.inputs.values(), batch.labels] if values.ndim > 1}
        self._by_row = partial(split_rows, rows=len(batch), lengths=lengths, copies=batch.copies)
        self._reach = None if factors_of is None else Reach(factors_of, sites, batch, self._by_row)
        self._inputs: dict[int, Tensor] = {}
        self._edges: list[GradientEdge] = []
        self._sinks: list[GradientEdge] = []
        self._replays: list[_Replay] = []
        self._calls = 0
        self._listening = False

    def run(self, losses_of_batch: Callable[[], Tensor]) -> Tensor:
        """Losses (B,) of the batch; leaves the gradients behind."""
        with ExitStack() as replaced:
            for lora in self._fused:
                replaced.enter_context(compute_fused(lora, self._keep_fused))
            with ExitStack() as hooks:
                hooks.enter_context(nullcontext() if self._reach is None else self._reach.listening())
                for site in self._sites:
                    handle = site.module.register_forward_hook(partial(self._keep, site), with_kwargs=True)
                    hooks.callback(handle.remove)
                self._listening = True
                losses = losses_of_batch()
            self._listening = False
            if self._edges:
                tensors = [tensor for site in self._sites for tensor in site.tensors.values()]
                differentiate(losses.sum(), self._sinks or self._edges, tensors)
        self._inputs.clear()
        self._edges.clear()
        self._sinks.clear()
        return losses.detach()

    def replay(self) -> None:
        """Run the modules again that have no formula of their own."""
        for waiting in self._replays:
            self._replay(waiting)
            for tensor in waiting.site.tensors.values():
                self.factors.pop(tensor.block, None)
        self._replays.clear()

    def _keep(self, site: Site, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not isinstance(output, Tensor):
            self._refuse(site)
            return
        if not output.requires_grad:
            return
        if type(site.module) in MULTIPLIERS:
            x = args[0] if args else next(iter(kwargs.values()))
            self._keep_multiplier(site, x, output)
        else:
            _listen(output, partial(self._postpone, site, tree_map_only(Tensor, Tensor.detach, (args, kwargs))))
        self._edges.append(get_gradient_edge(output))
        leaves = tree_leaves((args, kwargs))
        if not any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves):
            self._sinks.append(self._edges[-1])

    def _keep_multiplier(self, site: Site, x: Tensor, output: Tensor) -> None:
        call = self._calls
        self._calls += 1
        # Where a model is spread over devices, what goes in may come from the one before.
        self._inputs[call] = x.detach().to(output.device)
        _listen(output, partial(self._multiply, site, call))

    def _multiply(self, site: Site, call: int, delta: Tensor) -> None:
        x, by_row = self._by_row(self._inputs.pop(call)), self._by_row(delta.detach())
        if x is None or by_row is None:
            self._refuse(site)
            return
        dtype = next(iter(site.tensors.values())).dtype
        self._add(site, multiplier_gradients(site.module, site.parameters, x, by_row, dtype))
        if "weight" in site.tensors:
            self._add_factors(site, multiplier_pair(site.module, x, by_row))

    def _keep_fused(self, call: LoraCall, output: Tensor, begins_here: bool) -> None:
        if not self._listening:  # a checkpointed layer, run again in the backward pass
            return
        _listen(output, partial(self._multiply_fused, call))
        self._edges.append(get_gradient_edge(output))
        if begins_here:
            self._sinks.append(self._edges[-1])

    def _multiply_fused(self, call: LoraCall, delta: Tensor) -> None:
        lora, x, delta = call.lora, call.x, delta.detach()
        inner = call.hear(delta)
        call.forget()
        if isinstance(lora, FusedConvolution):
            self._convolve_rows(lora, x, delta, inner)
        else:
            self._multiply_rows(lora, *(self._by_row(values) for values in (x, delta, inner)))

    def _multiply_rows(self, lora: FusedLinear, x: Tensor | None, delta: Tensor | None, inner: Tensor | None) -> None:
        if x is None or delta is None or inner is None:
            self._refuse(lora.down)
            self._refuse(lora.up)
            return
        for site, pair in zip((lora.down, lora.up), lora.pairs(x, delta, inner), strict=True):
            self._add(site, {"weight": multiply_rows(*pair, site.tensors["weight"].dtype)})
            self._add_factors(site, pair)

    def _convolve_rows(self, lora: FusedConvolution, x: Tensor, delta: Tensor, inner: Tensor) -> None:
        if len(x) != self._rows * self._copies:
            self._refuse(lora.down)
            self._refuse(lora.up)
            return
        found = lora.row_gradients(x, delta, inner, self._rows)
        for site, values in zip((lora.down, lora.up), found, strict=True):
            self._add(site, {"weight": values})

    def _postpone(self, site: Site, arguments: tuple[Any, Any], delta: Tensor) -> None:
        self._replays.append(_Replay(site, arguments, delta.detach()))

    def _replay(self, waiting: _Replay) -> None:
        site = waiting.site
        if len(waiting.delta) != self._rows * self._copies:
            self._refuse(site)
            return
        try:
            found = replayed_gradients(site.module, site.parameters, waiting.arguments, waiting.delta, self._copies)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError):  # what vmap says of modules that cannot be vectorised
            self._refuse(site)
            return
        self._add(site, found)

    def _add(self, site: Site, found: Mapping[str, Tensor]) -> None:
        for attribute, values in found.items():
            tensor = site.tensors[attribute]
            values = values.to(tensor.dtype)
            known = self.gradients.get(tensor.block)
            self.gradients[tensor.block] = values if known is None else known + values.to(known.device)

    def _add_factors(self, site: Site, pair: tuple[Tensor, Tensor]) -> None:
        if self._reach is None:
            return
        tensor = site.tensors["weight"]
        left, right = position_products(*pair, self._reach.counted(site, *pair), tensor.dtype)
        if (known := self.factors.get(tensor.block)) is not None:
            left, right = known[0] + left, known[1] + right
        self.factors[tensor.block] = (left, right)

    def _refuse(self, site: Site) -> None:
        self.refused.update(tensor.block for tensor in site.tensors.values())


def _listen(output: Tensor, hear: Callable[[Tensor], None]) -> None:
    """Let `hear` have delta; a function above that passes no gradient on leaves none, and the tensor's is zero."""

    def heed(delta: Tensor | None) -> None:
        if delta is not None:
            hear(delta)

    output.register_hook(heed)  # type: ignore[no-untyped-call]

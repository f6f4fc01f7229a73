"""LoRA layers as one step of the graph while gradients are taken: cheaper than the training step itself.

Forwards a layer computes what PEFT computes, y = W x + s B (A x), operation by operation, but leaves one node in the
graph instead of six and no intermediate in memory. Backwards it needs u = s B' delta once: the row's gradients are
u x' and delta (s A x)', and W' delta + A' u goes on downwards without another pass over whole activations.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from workers.gradients.sites import Site


@dataclass(frozen=True, slots=True)
class FusedLora:
    """A plain LoRA layer with one active adapter: `down` is the site of A (r, in), `up` that of B (out, r)."""

    layer: nn.Module
    base: nn.Linear | Conv1D
    down: Site
    up: Site
    scaling: float

    @property
    def a(self) -> Tensor:
        return self.down.parameters["weight"].detach()

    @property
    def b(self) -> Tensor:
        return self.up.parameters["weight"].detach()

    @property
    def weight(self) -> Tensor:
        """The frozen weight (out, in)."""
        weight: Tensor = self.base.weight.detach()
        return weight.t() if isinstance(self.base, Conv1D) else weight

    def takes(self, x: Tensor) -> bool:
        """Whether an input is computed in the type of the weights, on their device, and with a graph."""
        return (
            torch.is_grad_enabled()
            and not torch.is_autocast_enabled(x.device.type)
            and x.dtype == self.a.dtype
            and x.device == self.a.device
        )

    def multiply(self, x: Tensor) -> Tensor:
        """The layer's output (..., out) of x (..., in)."""
        # Added to the base's output it would be a view, where that has a bias, which no activation may change in place.
        found: Tensor = functional.linear(functional.linear(x, self.a), self.b).mul_(self.scaling)
        return found.add_(self.base(x))

    def pull_back(self, delta: Tensor) -> Tensor:
        """u (..., r): the gradient of A x."""
        return delta @ (self.scaling * self.b)

    def pairs(self, x: Tensor, delta: Tensor, inner: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """What the gradients of A and of B are products of: x (B, T, in), delta (B, T, out) and u (B, T, r) give
        (u, x) and (delta, s A x)."""
        return (inner, x), (delta, x @ (self.scaling * self.a).t())


class LoraCall:
    """One call of a layer; whoever hears delta first leaves u for the backward pass."""

    def __init__(self, lora: FusedLora, x: Tensor) -> None:
        self.lora = lora
        self.x = x.detach()
        self._inner: Tensor | None = None

    def hear(self, delta: Tensor) -> Tensor:
        """u (..., r) of delta (..., out)."""
        self._inner = self.lora.pull_back(delta)
        return self._inner

    def forget(self) -> None:
        """Let the input go, once the rows' gradients are made."""
        self.x = self.x.new_empty(0)

    def gradient_of_input(self, delta: Tensor) -> Tensor:
        """The gradient (..., in) of the call's input."""
        inner = self.lora.pull_back(delta) if self._inner is None else self._inner
        self._inner = None
        flat = torch.mm(delta.flatten(0, -2), self.lora.weight)
        return flat.addmm_(inner.flatten(0, -2), self.lora.a).view(*delta.shape[:-1], -1)


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, _anchor: Tensor | None, call: LoraCall) -> Tensor:
        context.call = call
        return call.lora.multiply(x)

    @staticmethod
    def backward(context: Any, *deltas: Tensor) -> tuple[Tensor | None, None, None]:
        call: LoraCall = context.call
        return call.gradient_of_input(deltas[0]) if context.needs_input_grad[0] else None, None, None


def find_fused(model: nn.Module, sites: Sequence[Site]) -> list[FusedLora]:
    """LoRA layers that can be one step, with both factors among the sites and nothing else of theirs."""
    by_module = {id(site.module): site for site in sites}
    found = []
    for module in model.modules():
        if type(module) is not LoraLinear or (adapter := _only_adapter(module)) is None:
            continue
        factors: tuple[Any, Any] = (module.lora_A, module.lora_B)
        down, up = (by_module.get(id(factor[adapter])) for factor in factors)
        base: Any = module.base_layer
        if down is not None and up is not None and id(base) not in by_module and _is_plain(base, down, up):
            scaling: Any = module.scaling
            found.append(FusedLora(module, base, down, up, float(scaling[adapter])))
    return found


@contextmanager
def compute_fused(lora: FusedLora, keep: Callable[[LoraCall, Tensor, bool], None]) -> Iterator[None]:
    """Let the layer's calls be one step each; `keep` hears of the call, its output and whether the graph begins there.

    Lasts until after the backward pass, so that checkpointed layers do the same again when they are run again.
    """
    plain = lora.layer.forward

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args or kwargs or not lora.takes(x):
            found: Tensor = plain(x, *args, **kwargs)
            return found
        call, begins_here = LoraCall(lora, x), not x.requires_grad
        # Where nothing below needs a gradient, something has to, or the output has no place in the graph.
        anchor = x.new_empty(0, requires_grad=True) if begins_here else None
        output: Tensor = _Multiply.apply(x, anchor, call)  # type: ignore[no-untyped-call]
        keep(call, output, begins_here)
        return output

    lora.layer.forward = forward
    try:
        yield
    finally:
        del lora.layer.forward


def _only_adapter(layer: Any) -> str | None:
    """The one adapter that a layer adds in the plain way, if it is so."""
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    is_plain = len(active) == 1 and active[0] not in layer.lora_variant
    return active[0] if is_plain and not layer.merged and not layer.disable_adapters else None


def _is_plain(base: nn.Module, down: Site, up: Site) -> bool:
    parts: tuple[Any, ...] = (base, down.module, up.module)
    return (
        type(base) in (nn.Linear, Conv1D)
        and all(type(factor) is nn.Linear and factor.bias is None for factor in parts[1:])
        and all(part.weight.dtype in (torch.float32, torch.float64) for part in parts)
        and len({part.weight.dtype for part in parts}) == 1
        and all(set(site.tensors) == {"weight"} for site in (down, up))
        # A hook or a replaced forward (offloading, for one) would be passed over.
        and not any(part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part) for part in parts)
    )

"""LoRA layers as one step of the graph while gradients are taken: cheaper than the training step itself.

Forwards a linear layer computes what PEFT computes, y = W x + s B (A x), operation by operation, and a convolution that
by W + s B A; either leaves one node in the graph instead of six and no intermediate in memory. Backwards it needs
u = s B' delta once: the row's gradients are u x' and delta (s A x)', and W' delta + A' u goes on downwards without
another pass over whole activations.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora.layer import Conv2d as LoraConv2d
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from workers.gradients.fused.convolution import FusedConvolution
from workers.gradients.fused.linear import FusedLinear
from workers.gradients.sites import Site

FusedLora = FusedLinear | FusedConvolution


class LoraCall:
    """One call of a layer; whoever hears delta first leaves u for the backward pass."""

    def __init__(self, lora: FusedLora, x: Tensor) -> None:
        self.lora = lora
        self.x = x.detach()
        self._shape = x.shape
        self._inner: Tensor | None = None

    def hear(self, delta: Tensor) -> Tensor:
        """u of delta, see `pull_back` of the layers."""
        self._inner = self.lora.pull_back(delta)
        return self._inner

    def forget(self) -> None:
        """Let the input go, once the rows' gradients are made."""
        self.x = self.x.new_empty(0)

    def gradient_of_input(self, delta: Tensor) -> Tensor:
        """The gradient of the call's input, in its shape."""
        inner = self.lora.pull_back(delta) if self._inner is None else self._inner
        self._inner = None
        return self.lora.gradient_of_input(delta, inner, self._shape)


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
    found: list[FusedLora] = []
    for module in model.modules():
        if type(module) not in (LoraLinear, LoraConv2d) or (adapter := _only_adapter(module)) is None:
            continue
        factors: tuple[Any, Any] = (module.lora_A, module.lora_B)
        down, up = (by_module.get(id(factor[adapter])) for factor in factors)
        base: Any = module.base_layer
        if down is None or up is None or id(base) in by_module or not _is_plain(base, down, up):
            continue
        scaling: Any = module.scaling
        kind = FusedLinear if type(module) is LoraLinear else FusedConvolution
        found.append(kind(module, base, down, up, float(scaling[adapter])))
    return found


@contextmanager
def compute_fused(lora: FusedLora, keep: Callable[[LoraCall, Tensor, bool], None]) -> Iterator[None]:
    """Let the layer's calls be one step each; `keep` hears of the call, its output and whether the graph begins there.

    Lasts until after the backward pass, so that checkpointed layers do the same again when they are run again.
    """
    plain = lora.layer.forward

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args or kwargs or not _takes(lora, x):
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


def _takes(lora: FusedLora, x: Tensor) -> bool:
    """Whether an input is computed in the type of the weights, on their device, and with a graph."""
    return (
        torch.is_grad_enabled()
        and not torch.is_autocast_enabled(x.device.type)
        and x.dtype == lora.a.dtype
        and x.device == lora.a.device
        and lora.fits(x)
    )


def _only_adapter(layer: Any) -> str | None:
    """The one adapter that a layer adds in the plain way, if it is so."""
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    is_plain = len(active) == 1 and active[0] not in layer.lora_variant
    return active[0] if is_plain and not layer.merged and not layer.disable_adapters else None


def _is_plain(base: nn.Module, down: Site, up: Site) -> bool:
    parts: tuple[Any, ...] = (base, down.module, up.module)
    return (
        (_multiply(*parts) or _convolve(*parts))
        and all(factor.bias is None for factor in parts[1:])
        and all(part.weight.dtype in (torch.float32, torch.float64) for part in parts)
        and len({part.weight.dtype for part in parts}) == 1
        and all(set(site.tensors) == {"weight"} for site in (down, up))
        # A hook or a replaced forward (offloading, for one) would be passed over.
        and not any(part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part) for part in parts)
    )


def _multiply(base: Any, down: Any, up: Any) -> bool:
    return type(base) in (nn.Linear, Conv1D) and all(type(factor) is nn.Linear for factor in (down, up))


def _convolve(base: Any, down: Any, up: Any) -> bool:
    """Whether one convolution of the sum of both weights is what the layer computes."""
    return (
        all(type(part) is nn.Conv2d and part.groups == 1 and part.dilation == (1, 1) for part in (base, down, up))
        # Padding may be a word, and what is padded with may be no zeros.
        and all(isinstance(part.padding, tuple) and part.padding_mode == "zeros" for part in (base, down))
        and all(getattr(base, name) == getattr(down, name) for name in ("kernel_size", "stride", "padding"))
        and (up.kernel_size, up.stride, up.padding) == ((1, 1), (1, 1), (0, 0))
    )

"""A LoRA of a linear layer: what it computes, and what its rows' gradients are products of."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from workers.gradients.sites import Site


@dataclass(frozen=True, slots=True)
class FusedLinear:
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

    def fits(self, x: Tensor) -> bool:
        """Whether x has the dimensions that the layer is computed for."""
        return x.ndim >= 2

    def multiply(self, x: Tensor) -> Tensor:
        """The layer's output (..., out) of x (..., in)."""
        # Added to the base's output it would be a view, where that has a bias, which no activation may change in place.
        found: Tensor = functional.linear(functional.linear(x, self.a), self.b).mul_(self.scaling)
        return found.add_(self.base(x))

    def pull_back(self, delta: Tensor) -> Tensor:
        """u (..., r): the gradient of A x."""
        return delta @ (self.scaling * self.b)

    def gradient_of_input(self, delta: Tensor, inner: Tensor, shape: torch.Size) -> Tensor:
        """The gradient of an input x of `shape` (..., in) from delta (..., out) and u (..., r)."""
        flat = torch.mm(delta.flatten(0, -2), self.weight)
        return flat.addmm_(inner.flatten(0, -2), self.a).view(shape)

    def pairs(self, x: Tensor, delta: Tensor, inner: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """What the gradients of A and of B are products of: x (B, T, in), delta (B, T, out) and u (B, T, r) give
        (u, x) and (delta, s A x)."""
        return (inner, x), (delta, x @ (self.scaling * self.a).t())

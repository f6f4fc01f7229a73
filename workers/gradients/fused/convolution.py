"""A LoRA of a convolution: a second one with r channels, and a 1 x 1 behind it.

Every product here is a matrix product over places: the few channels of the rank are taken apart by the kernel's
places (or put together), never the many of the input, which would be copied kernel-size times.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input

from workers.gradients.sites import Site


@dataclass(frozen=True, slots=True)
class FusedConvolution:
    """A plain LoRA of a Conv2d: `down` is the site of A (r, in, k, l), with the convolution's kernel, stride and
    padding, `up` that of B (out, r, 1, 1)."""

    layer: nn.Module
    base: nn.Conv2d
    down: Site
    up: Site
    scaling: float

    @property
    def a(self) -> Tensor:
        return self.down.parameters["weight"].detach()

    @property
    def b(self) -> Tensor:
        """B (out, r)."""
        return self.up.parameters["weight"].detach().flatten(1)

    def fits(self, x: Tensor) -> bool:
        """Whether x has the dimensions that the layer is computed for."""
        return x.ndim == 4

    def multiply(self, x: Tensor) -> Tensor:
        """The layer's output (N, out, H', W') of x (N, in, H, W)."""
        bias = self.base.bias
        return functional.conv2d(
            x, self._merged(), None if bias is None else bias.detach(), self._stride, self._padding
        )

    def pull_back(self, delta: Tensor) -> Tensor:
        """u (N, r, H', W'): the gradient of A x."""
        flat = torch.matmul((self.scaling * self.b).t(), delta.flatten(2))
        return flat.view(len(delta), -1, *delta.shape[2:])

    def gradient_of_input(self, delta: Tensor, _inner: Tensor, shape: torch.Size) -> Tensor:
        """The gradient of an input x of `shape` (N, in, H, W) from delta (N, out, H', W')."""
        found: Tensor = conv2d_input(shape, self._merged(), delta, self._stride, self._padding)  # type: ignore[no-untyped-call]
        return found

    def row_gradients(self, x: Tensor, delta: Tensor, inner: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Gradients (B, d) of A and of B from x (N, in, H, W), delta (N, out, H', W') and u (N, r, H', W').

        N is a multiple of `rows`, and a row's gradient the sum over its images.
        """
        down = self._outer_with_input(inner, x)
        up = torch.bmm(delta.flatten(2), self._multiply_down(x).flatten(2).transpose(1, 2)).mul_(self.scaling)
        return _sum_by_row(down, rows), _sum_by_row(up, rows)

    def _outer_with_input(self, inner: Tensor, x: Tensor) -> Tensor:
        """The gradient (N, r, in, k, l) of A of every image."""
        rank, channels, *_ = self.a.shape
        kernel = self._kernel
        if not self._turns_round:
            places = functional.unfold(x, kernel, padding=self._padding, stride=self._stride)
            return torch.bmm(inner.flatten(2), places.transpose(1, 2))
        places = inner if kernel == (1, 1) else functional.unfold(inner, kernel, padding=self._padding_back)
        found = torch.bmm(places.flatten(2), x.flatten(2).transpose(1, 2))
        return found.view(len(x), rank, *kernel, channels).flip(2, 3).permute(0, 1, 4, 2, 3)

    def _multiply_down(self, x: Tensor) -> Tensor:
        """A x (N, r, H', W')."""
        rank, channels, *_ = self.a.shape
        kernel = self._kernel
        if not self._turns_round or rank * kernel[0] * kernel[1] > channels:
            return functional.conv2d(x, self.a, None, self._stride, self._padding)
        turned = self.a.flip(2, 3).permute(0, 2, 3, 1).reshape(-1, channels)
        height, width = (
            side + 2 * pad - k + 1 for side, pad, k in zip(x.shape[2:], self._padding, kernel, strict=True)
        )
        return functional.fold(torch.matmul(turned, x.flatten(2)), (height, width), kernel, padding=self._padding_back)

    @property
    def _turns_round(self) -> bool:
        """Whether the rank's channels can be taken apart in the input's stead, and are no more than its own.

        Without strides, what an input place gives to the outputs around it is a convolution too, turned round.
        """
        fits_back = all(pad >= 0 for pad in self._padding_back)
        return self._stride == (1, 1) and fits_back and self.a.shape[0] <= self.a.shape[1]

    @property
    def _kernel(self) -> tuple[int, int]:
        tall, wide = self.a.shape[2:]
        return tall, wide

    @property
    def _stride(self) -> tuple[int, int]:
        vertical, horizontal = self.base.stride
        return vertical, horizontal

    @property
    def _padding(self) -> tuple[int, int]:
        padding: Any = self.base.padding
        vertical, horizontal = padding
        return vertical, horizontal

    @property
    def _padding_back(self) -> tuple[int, int]:
        (tall, wide), (vertical, horizontal) = self._kernel, self._padding
        return tall - 1 - vertical, wide - 1 - horizontal

    def _merged(self) -> Tensor:
        """W + s B A (out, in, k, l): its making costs nothing beside the places that it is used at."""
        weight = self.base.weight.detach()
        return torch.addmm(weight.flatten(1), self.b, self.a.flatten(1), alpha=self.scaling).view(weight.shape)


def _sum_by_row(values: Tensor, rows: int) -> Tensor:
    """(N, ...) of images as (B, d), the sum over the images of each row."""
    return values.reshape(rows, len(values) // rows, -1).sum(dim=1)

"""What each position of a row adds to the inner product of its gradient with a direction.

A layer's part of <u, g> of one row is the sum over its positions t of <delta_t, y'_t>, where delta is the gradient of
the layer's output y and y' is how y changes as the layer's weights W go in the direction u: `y'_t = U x_t` for y = W x.
One backward pass of the batch gives delta, forward-mode differentiation of each layer alone gives y'.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.func import functional_call, jvp
from torch.utils._pytree import tree_map_only

from influence.errors import UnsupportedModule
from workers.gradients.passes import differentiate
from workers.gradients.sites import Site

#: Directions (d,) by block.
Directions = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a module: what went in, and where its output lies in the graph."""

    site: Site
    arguments: tuple[Any, Any]
    output: GradientEdge


class PositionPass:
    """Parts of one batch of `rows` rows, padded to `length` positions, for the tensors of `sites`."""

    def __init__(self, sites: Sequence[Site], rows: int, length: int) -> None:
        self._sites = sites
        self._rows = rows
        self._length = length
        self._calls: list[_Call] = []
        self._deltas: Sequence[Tensor | None] = ()

    def run(self, losses_of_batch: Callable[[], Tensor]) -> None:
        """One forward and one backward pass."""
        with ExitStack() as hooks:
            for site in self._sites:
                handle = site.module.register_forward_hook(partial(self._keep, site), with_kwargs=True)
                hooks.callback(handle.remove)
            losses = losses_of_batch()
        if self._calls:
            tensors = [tensor for site in self._sites for tensor in site.tensors.values()]
            self._deltas = differentiate(losses.sum(), [call.output for call in self._calls], tensors)

    def split(self, directions: Directions) -> Tensor:
        """Parts (B, T + 1) float64 of <u, g>: by position, and last what layers add that read the row as a whole.

        Raises UnsupportedModule for a layer that cannot be differentiated forwards, or that mixes rows.
        """
        device = next(iter(directions.values())).device
        parts = torch.zeros(self._rows, self._length + 1, dtype=torch.float64, device=device)
        for call, delta in zip(self._calls, self._deltas, strict=False):
            if delta is not None:
                self._add(parts, call.site, delta, _change(call, directions))
        return parts

    def _keep(self, site: Site, _module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise _refusal(site, "it gives more than one tensor")
        if output.requires_grad:
            arguments = tree_map_only(Tensor, Tensor.detach, (args, kwargs))
            self._calls.append(_Call(site, arguments, get_gradient_edge(output)))

    def _add(self, parts: Tensor, site: Site, delta: Tensor, change: Tensor) -> None:
        products = (delta.double() * change.double()).to(parts.device)
        rows, length = self._rows, self._length
        if products.ndim > 2 and products.shape[:2] == (rows, length):
            parts[:, :length] += products.flatten(2).sum(2)
        elif products.ndim == 2 and length > 1 and len(products) == rows * length:
            parts[:, :length] += products.view(rows, length, -1).sum(2)
        elif len(products) == rows:
            parts[:, length] += products.flatten(1).sum(1)
        else:
            raise _refusal(site, "its output does not show which row a number belongs to")


def _change(call: _Call, directions: Directions) -> Tensor:
    """How a call's output changes as the module's weights go in their directions."""
    site, (args, kwargs) = call.site, call.arguments
    weights = {name: parameter.detach() for name, parameter in site.parameters.items()}
    tangents = {
        name: directions[tensor.block].view_as(weights[name]).to(weights[name]) for name, tensor in site.tensors.items()
    }
    try:
        found = jvp(lambda changed: functional_call(site.module, changed, args, kwargs), (weights,), (tangents,))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:  # what autograd says where there is no forward derivative
        raise _refusal(site, str(error).splitlines()[0][:200]) from error
    change: Tensor = found[1].detach()
    return change


def _refusal(site: Site, reason: str) -> UnsupportedModule:
    return UnsupportedModule(
        f"What each token adds cannot be told of '{site.name}' ({type(site.module).__name__}): {reason}.",
        hint="Leave 'tokens' out of 'include'; 'blocks' says what each layer adds.",
    )

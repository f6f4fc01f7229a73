"""One forward and one backward of a batch, listened to by hooks on the trainable modules.

A forward hook keeps the module's input; a hook on its output is called during the backward pass with delta, makes the
rows' gradients at once and lets both go. The backward pass is asked only for the lowest of those outputs, the sinks:
nothing below them is computed, no weight gradient is accumulated anywhere. A model that makes its embeddings require
a gradient (as for re-entrant checkpointing) has no lowest ones: then it is asked for all.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils._pytree import tree_leaves, tree_map_only

from workers.gradients.backward import differentiate
from workers.gradients.rules import MULTIPLIERS, multiplier_gradients, replayed_gradients, split_rows
from workers.gradients.trainable import TrainableTensor
from workers.rows import Batch


@dataclass(frozen=True, slots=True)
class Site:
    """A module with trainable tensors of its own, by their name inside the module."""

    name: str
    module: nn.Module
    tensors: dict[str, TrainableTensor]

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return {attribute: tensor.parameter for attribute, tensor in self.tensors.items()}


@dataclass(frozen=True, slots=True)
class _Replay:
    """A module to be run again once the backward pass has left delta."""

    site: Site
    arguments: tuple[Any, Any]
    delta: Tensor


def group_by_module(tensors: Sequence[TrainableTensor]) -> list[Site]:
    """The modules to listen to."""
    sites: dict[int, Site] = {}
    for tensor in tensors:
        for use in tensor.uses:
            site = sites.setdefault(id(use.module), Site(use.module_name, use.module, {}))
            site.tensors[use.attribute] = tensor
    return list(sites.values())


class Pass:
    """Gradients of one batch for the tensors of `sites`.

    `gradients` (B, d) by block name are sums over all uses of a tensor; a tensor that nothing used has none.
    `refused` names blocks whose rows could not be told apart.
    """

    def __init__(self, sites: Sequence[Site], batch: Batch) -> None:
        self.gradients: dict[str, Tensor] = {}
        self.refused: set[str] = set()
        self._sites = sites
        self._rows = len(batch)
        self._lengths = {values.shape[1] for values in [*batch.inputs.values(), batch.labels] if values.ndim > 1}
        self._inputs: dict[int, Tensor] = {}
        self._edges: list[GradientEdge] = []
        self._sinks: list[GradientEdge] = []
        self._replays: list[_Replay] = []
        self._calls = 0

    def run(self, losses_of_batch: Callable[[], Tensor]) -> Tensor:
        """Losses (B,) of the batch; leaves the gradients behind."""
        with ExitStack() as hooks:
            for site in self._sites:
                handle = site.module.register_forward_hook(partial(self._keep, site), with_kwargs=True)
                hooks.callback(handle.remove)
            losses = losses_of_batch()
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
        self._inputs[call] = x.detach()
        _listen(output, partial(self._multiply, site, call))

    def _multiply(self, site: Site, call: int, delta: Tensor) -> None:
        x = split_rows(self._inputs.pop(call), self._rows, self._lengths)
        by_row = split_rows(delta.detach(), self._rows, self._lengths)
        if x is None or by_row is None:
            self._refuse(site)
            return
        dtype = next(iter(site.tensors.values())).dtype
        self._add(site, multiplier_gradients(site.module, site.parameters, x, by_row, dtype))

    def _postpone(self, site: Site, arguments: tuple[Any, Any], delta: Tensor) -> None:
        self._replays.append(_Replay(site, arguments, delta.detach()))

    def _replay(self, waiting: _Replay) -> None:
        site = waiting.site
        if len(waiting.delta) != self._rows:
            self._refuse(site)
            return
        try:
            found = replayed_gradients(site.module, site.parameters, waiting.arguments, waiting.delta)
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
            self.gradients[tensor.block] = values if known is None else known + values

    def _refuse(self, site: Site) -> None:
        self.refused.update(tensor.block for tensor in site.tensors.values())


def _listen(output: Tensor, hear: Callable[[Tensor], None]) -> None:
    output.register_hook(hear)  # type: ignore[no-untyped-call]

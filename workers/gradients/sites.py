"""Modules with trainable tensors of their own: the places to listen to."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from workers.gradients.trainable import TrainableTensor


@dataclass(frozen=True, slots=True)
class Site:
    """A module with trainable tensors of its own, by their name inside the module."""

    name: str
    module: nn.Module
    tensors: dict[str, TrainableTensor]

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return {attribute: tensor.parameter for attribute, tensor in self.tensors.items()}


def group_by_module(tensors: Sequence[TrainableTensor]) -> list[Site]:
    """The modules to listen to."""
    sites: dict[int, Site] = {}
    for tensor in tensors:
        for use in tensor.uses:
            site = sites.setdefault(id(use.module), Site(use.module_name, use.module, {}))
            site.tensors[use.attribute] = tensor
    return list(sites.values())

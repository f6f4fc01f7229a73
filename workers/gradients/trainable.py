"""Which tensors of a model are trainable, and which modules use each of them."""

import re
from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn

from influence.contracts.index import GradientParts
from influence.errors import UnsupportedModule

#: Modules that only hold parameters for the module around them and are never called.
_HOLDERS = (nn.ParameterDict, nn.ParameterList)
_WRAPPING = re.compile(r"^(base_model\.model\.|base_model\.)|\.(default|base_layer|modules_to_save)(?=\.|$)")


@dataclass(frozen=True, slots=True)
class Use:
    """A module that computes with a parameter; `attribute` is the parameter's dotted name inside the module."""

    module_name: str
    module: nn.Module
    attribute: str


@dataclass(frozen=True, slots=True)
class TrainableTensor:
    """One block: a parameter, the readable name of its block and every module that uses it (tied weights: several)."""

    block: str
    parameter: nn.Parameter
    uses: tuple[Use, ...]

    @property
    def dtype(self) -> torch.dtype:
        """The type of its gradients: float64 for float64, else float32."""
        return torch.float64 if self.parameter.dtype == torch.float64 else torch.float32


def find_trainable(model: nn.Module, *, include_bias: bool, parts: GradientParts = "all") -> list[TrainableTensor]:
    """Parameters that require a gradient, in the model's order; biases only where they are asked for.

    Of `parts` "lora" only LoRA factors.

    Raises UnsupportedModule, naming the module, for a parameter that no gradient can be taken of.
    """
    uses = _uses_of_parameters(model)
    chosen = [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (include_bias or not is_bias(name)) and (parts == "all" or is_factor(name))
    ]
    names = _unique_names([name for name, _ in chosen])
    found = [
        TrainableTensor(block, parameter, tuple(uses[id(parameter)]))
        for block, (_, parameter) in zip(names, chosen, strict=True)
    ]
    for (name, parameter), tensor in zip(chosen, found, strict=True):
        _refuse_unsupported(name, parameter, tensor.uses[0].module)
    return found


def _unique_names(names: list[str]) -> list[str]:
    """Readable names; the whole name where two would be the same (adapters nested in one module)."""
    counts = Counter(map(readable_name, names))
    return [readable if counts[readable := readable_name(name)] == 1 else name for name in names]


def readable_name(parameter_name: str) -> str:
    """`base_model.model.bert.x.lora_A.default.weight` becomes `bert.x.lora_A.weight`: without adapters' wrapping.

    Two different parameters never share a name: only wrapping that every adapter adds is dropped.
    """
    return _WRAPPING.sub("", parameter_name)


def is_factor(name: str) -> bool:
    """Whether a parameter is one that LoRA itself adds to a layer, by its name."""
    return any(part.startswith("lora_") for part in name.split("."))


def is_bias(name: str) -> bool:
    """Whether a parameter is a bias, by the last part of its name."""
    last = name.rpartition(".")[2]
    return last == "bias" or last.endswith("_bias")


def _uses_of_parameters(model: nn.Module) -> dict[int, list[Use]]:
    modules = dict(model.named_modules())
    uses: dict[int, list[Use]] = {}
    for name, module in modules.items():
        for attribute, parameter in module.named_parameters(recurse=False):
            owner, path = name, attribute
            while isinstance(modules[owner], _HOLDERS):
                owner, _, last = owner.rpartition(".")
                path = f"{last}.{path}"
            uses.setdefault(id(parameter), []).append(Use(owner, modules[owner], path))
    return uses


def _refuse_unsupported(name: str, parameter: nn.Parameter, module: nn.Module) -> None:
    if parameter.is_meta:
        reason = "its weights are not in memory (offloaded)"
    elif not parameter.is_floating_point():
        reason = f"its weights are {parameter.dtype}"
    else:
        return
    raise UnsupportedModule(
        f"The trainable weight '{name}' of a {type(module).__name__} has no gradient: {reason}.",
        hint="Load the trainable weights in floating point on the device, or freeze this module.",
    )


def refuse_mixed_rows(model: nn.Module) -> None:
    """Raise UnsupportedModule for modules whose output for one row depends on the rows beside it.

    In training mode dropout makes gradients random and batch normalisation mixes rows; batch normalisation without
    running statistics mixes them even in evaluation mode.
    """
    for name, module in model.named_modules():
        if module.training:
            raise UnsupportedModule(
                f"The module '{name or 'model'}' is in training mode: dropout would make gradients random.",
                hint="Call model.eval() before gradients are taken.",
            )
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise UnsupportedModule(
                f"The module '{name}' normalises over the rows of a batch, so no row has a gradient of its own.",
                hint="Use a model whose batch normalisation keeps running statistics.",
            )

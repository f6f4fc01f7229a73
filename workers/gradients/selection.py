"""Any part of a plain model can be what gradients are taken of: no adapter needed."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from influence.errors import NothingTrainable


def select_trainable(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Let exactly the chosen parameters require a gradient; answers their names in the model's order.

    A pattern is the name of a module or parameter with shell wildcards (`classifier`, `*.layer.5`, `*.norm.weight`);
    a module stands for everything inside it. Raises NothingTrainable for a pattern that fits nothing.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(_fits(name, pattern) for name in names):
            raise NothingTrainable(
                f"No module or parameter of the model is called '{pattern}'.",
                hint="Patterns are module names with * and ?, for example 'classifier' or '*.layer.11'.",
                extra={"pattern": pattern, "modules": [name for name, _ in model.named_children()]},
            )
    chosen = []
    for name, parameter in model.named_parameters():
        wanted = parameter.is_floating_point() and any(_fits(name, pattern) for pattern in patterns)
        parameter.requires_grad_(wanted)
        if wanted:
            chosen.append(name)
    if not chosen:
        raise NothingTrainable("No pattern was given, so nothing is trainable.")
    return chosen


def _fits(name: str, pattern: str) -> bool:
    """Whether the parameter or a module around it has this name; the whole name must fit."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:count]), pattern) for count in range(1, len(parts) + 1))

"""Any part of a plain model can be what gradients are taken of: no adapter needed."""

from collections.abc import Sequence

from torch import nn

from influence.checkpoint_files.adapters.former_names import LayerNames
from influence.checkpoint_files.trainable import fits, refuse_unmatched
from influence.errors import NothingTrainable, UnsupportedModule


def select_trainable(model: nn.Module, patterns: Sequence[str], names: LayerNames | None = None) -> list[str]:
    """Let exactly the chosen parameters require a gradient; answers their names in the model's order.

    A pattern is the name of a module or parameter with wildcards (`classifier`, `*.layer.5`, `*.norm.weight`); a module
    stands for everything inside it. Patterns may speak of layers by their `names` now or formerly. Raises
    NothingTrainable for a pattern that fits nothing, UnsupportedModule for one that fits nothing but quantised weights.
    """
    if not patterns:
        raise NothingTrainable("No pattern was given, so nothing is trainable.")
    known = names or LayerNames(None)
    parameters = dict(model.named_parameters())

    def is_meant(name: str, pattern: str) -> bool:
        return fits(name, pattern) or fits(known.former(name), pattern)

    for pattern in patterns:
        _refuse_idle(pattern, model, [name for name in parameters if is_meant(name, pattern)])
    chosen = []
    for name, parameter in parameters.items():
        wanted = parameter.is_floating_point() and any(is_meant(name, pattern) for pattern in patterns)
        parameter.requires_grad_(wanted)
        if wanted:
            chosen.append(name)
    return chosen


def _refuse_idle(pattern: str, model: nn.Module, meant: Sequence[str]) -> None:
    if not meant:
        raise refuse_unmatched(pattern, [name for name, _ in model.named_children()])
    if not any(model.get_parameter(name).is_floating_point() for name in meant):
        raise UnsupportedModule(
            f"What '{pattern}' names is quantised, so it has no gradient: {meant[0]} is of no floating-point type.",
            hint="Run workers without DATAINF_LOAD_IN_BITS, or name weights that are kept in floating point.",
        )

"""Which positions of a row count in its Kronecker factors: those that a gradient reaches.

What stands at padding is nobody's and must not count. Nor may rounding decide: the first token of a text has only
itself to attend to, the gradient of its query is zero but for rounding, and no size tells the two apart (real gradients
of one module are smaller than the rounding in another). So a position also counts where the gradient reaches the output
of a module around this one, as it does that of the first token's attention.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from workers.gradients.sites import Site
from workers.rows import Batch

#: Below this share of the row's largest, a position's gradient does not count as one.
_SHARE = 1e-5

#: Views (B * T, width) or (B, T, width) as (B, T, width), or gives None where rows cannot be told apart.
Split = Callable[[Tensor], Tensor | None]


def reached(sizes: Tensor) -> Tensor:
    """Whether a gradient reaches each position (B, T), from how large it is there; no row asks another."""
    return sizes > _SHARE * sizes.amax(dim=1, keepdim=True)


class Reach:
    """Listens to the modules around `sites`, whose outputs the backward pass comes by before it comes to theirs."""

    def __init__(self, model: nn.Module, sites: Sequence[Site], batch: Batch, split: Split) -> None:
        # With two sequences per row, a position of the one says nothing of the other's at the same place.
        is_one_sequence = not any(name.startswith("decoder_") for name in batch.inputs)
        self._around = {id(site.module): _names_around(site.name) for site in sites} if is_one_sequence else {}
        self._modules = {name: model.get_submodule(name) for names in self._around.values() for name in names}
        self._split = split
        self._found: dict[str, Tensor] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While this lasts, forward passes are listened to."""
        with ExitStack() as hooks:
            for name, module in self._modules.items():
                hooks.callback(module.register_forward_hook(partial(self._keep, name)).remove)
            yield

    def counted(self, site: Site, left: Tensor, right: Tensor) -> Tensor:
        """Which positions (B, T) count of those that a gradient is the product of: left (B, T, p), right (B, T, q)."""
        found = reached(left.norm(dim=2) * right.norm(dim=2))
        for name in self._around.get(id(site.module), ()):
            around = self._found.get(name)
            if around is not None and around.shape == found.shape:
                found = found | around.to(found.device)
        return found

    def _keep(self, name: str, _module: nn.Module, _args: object, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor) and first.requires_grad:
            first.register_hook(partial(self._hear, name))  # type: ignore[no-untyped-call]

    def _hear(self, name: str, delta: Tensor | None) -> None:
        by_row = None if delta is None else self._split(delta.detach())
        if by_row is not None:
            self._found[name] = reached(by_row.norm(dim=2))


def _names_around(name: str) -> list[str]:
    """Names of the modules that hold the one of this name, without the model itself."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]

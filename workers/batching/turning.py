"""Positions that turn otherwise in longer sequences: every row by its own length, whatever stands beside it.

transformers chooses how positions turn (rope types `longrope` and `dynamic`) by the longest row of a batch, padding
included, and `dynamic` remembers the longest that it has seen.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_LONGROPE, _DYNAMIC = "longrope", "dynamic"


def turn_row_by_row(model: Any) -> None:
    """Let each row of a batch turn as it does alone. Rows are padded on the right and say so in their mask."""
    turning = [module for module in model.modules() if _kinds(module)]
    if not turning:
        return
    lengths = _Lengths()
    # Some callers ask the model without its head.
    for called in {model, getattr(model, "base_model", model)}:
        called.register_forward_pre_hook(lengths.read, with_kwargs=True)
        called.register_forward_hook(lengths.forget, always_call=True)
    for module in turning:
        module.forward = _by_row(module, module.forward, lengths)


class _Lengths:
    """How many tokens each row of the batch in hand has; None where nobody says."""

    def __init__(self) -> None:
        self.rows: list[int] | None = None

    def read(self, _: Any, args: Any, kwargs: dict[str, Any]) -> None:
        mask = kwargs.get("attention_mask")
        if isinstance(mask, Tensor) and mask.ndim == 2 and kwargs.get("past_key_values") is None:
            self.rows = mask.sum(dim=1).tolist()

    def forget(self, *_: Any) -> None:
        self.rows = None


def _kinds(module: Any) -> list[str]:
    """The rope types of a module that depend on a sequence's length; a module may have one for each kind of layer."""
    found = getattr(module, "rope_type", None)
    types = found.values() if isinstance(found, dict) else [found]
    return [one for one in types if isinstance(one, str) and (one == _LONGROPE or _DYNAMIC in one)]


def _by_row(module: Any, forward: Callable[..., Any], lengths: _Lengths) -> Callable[..., Any]:
    def turn(x: Tensor, position_ids: Tensor, *args: Any, **kwargs: Any) -> Any:
        def alone(places: Tensor) -> Any:
            _forget_longer(module)
            return forward(x, places, *args, **kwargs)

        rows = lengths.rows
        alike = {} if rows is None else _group(module, rows)
        if rows is None or len(alike) < 2:
            longest = None if rows is None else max(rows)
            return _widen(alone(position_ids[:, :longest]), position_ids.shape[1])
        found: list[Any] = [None] * len(rows)
        for places in alike.values():
            longest = max(rows[place] for place in places)
            parts = _widen(alone(position_ids[:, :longest]), position_ids.shape[1])
            for place in places:
                found[place] = [part[place if len(part) > 1 else 0] for part in parts]
        return tuple(torch.stack(parts) for parts in zip(*found, strict=True))

    return turn


def _group(module: Any, rows: Sequence[int]) -> dict[int, list[int]]:
    """Places of rows by what decides how their positions turn."""
    found: dict[int, list[int]] = {}
    for place, length in enumerate(rows):
        found.setdefault(_decisive(module, length), []).append(place)
    return found


def _decisive(module: Any, length: int) -> int:
    """The same number for lengths that turn alike: by the limits of all kinds of layers that a module has."""
    if any(_DYNAMIC in kind for kind in _kinds(module)):
        return max(length, int(module.original_max_seq_len))
    said = module.config.rope_parameters
    scales = [said, *(one for one in said.values() if isinstance(one, dict))]
    limits = [one["original_max_position_embeddings"] for one in scales if "original_max_position_embeddings" in one]
    return sum(length > limit for limit in limits)


def _forget_longer(module: Any) -> None:
    """Let a dynamic module turn by the sequence in hand, not by the longest that it has seen."""
    for name in [name for name in vars(module) if name.endswith("max_seq_len_cached")]:
        setattr(module, name, 0)


def _widen(parts: Sequence[Tensor], width: int) -> tuple[Tensor, ...]:
    """Cosines and sines for as many positions as the batch has: nothing is read of those behind a row."""
    return tuple(torch.nn.functional.pad(part, (0, 0, 0, width - part.shape[1])) for part in parts)

"""Arithmetic in float64 all the way: models round to float32 inside (normalisation, rotary angles, softmax)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Float64Throughout(TorchFunctionMode):
    """While active, whatever asks torch for float32 gets float64, so that rounding cannot hide or feign an error."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is torch.Tensor.float:
            return arguments[0].double()
        widened = {name: _widen(value) for name, value in (keywords or {}).items()}
        return function(*map(_widen, arguments), **widened)


def _widen(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value

"""A model with its adapter switched off: its base, as far as the adapter alone was trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer


@contextmanager
def adapter_off(model: Any) -> Iterator[None]:
    """Run a PEFT model as its base. PEFT sets anew what requires a gradient when it comes back: that is kept here.

    Inside itself it changes nothing: the adapter stays off until the outer one ends.
    """
    if any(isinstance(module, BaseTunerLayer) and module.disable_adapters for module in model.modules()):
        yield
        return
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        with model.disable_adapter():
            yield
    finally:
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)

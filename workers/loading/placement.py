"""Where a base model's weights lie: on one device, or spread over several GPUs."""

from typing import Any

import torch

from influence.errors import UnsupportedModule
from workers.loading.options import LoadOptions

_NAMES_SHOWN = 3


def describe_placement(options: LoadOptions, *, is_packed: bool = False) -> dict[str, Any]:
    """How `from_pretrained` places weights: spread by `device_map` where there are GPUs, at once on the one device
    where quantised, now or when they were saved, else on the CPU first (no entry).
    """
    if options.device_map and options.device.type == "cuda":
        return {"device_map": options.device_map}
    in_bits = is_packed or options.load_in_bits is not None
    return {"device_map": {"": options.device}} if in_bits else {}


def is_placed(model: Any) -> bool:
    """Whether loading left every weight where it belongs, so that the model must not be moved."""
    return getattr(model, "hf_device_map", None) is not None


def refuse_offloaded(model: Any, device: torch.device) -> None:
    """Raise UnsupportedModule where a layer found no room on the GPUs: it would be fetched anew for every batch."""
    places: dict[str, Any] = getattr(model, "hf_device_map", None) or {}
    left = [name or "the model" for name, place in places.items() if not _is_on(place, device)]
    left += [name for name, parameter in model.named_parameters() if parameter.is_meta and not left]
    if left:
        more = f" and {len(left) - _NAMES_SHOWN} more" if len(left) > _NAMES_SHOWN else ""
        raise UnsupportedModule(
            f"The base model does not fit the worker's devices: {', '.join(left[:_NAMES_SHOWN])}{more} would stay in "
            "the host's memory or on disk.",
            hint="Make more GPUs visible to the worker, use precision bfloat16, or load in fewer bits "
            "(DATAINF_LOAD_IN_BITS).",
            extra={"modules": left[:100]},
        )


def _is_on(place: Any, device: torch.device) -> bool:
    if place in ("disk", "meta"):
        return False
    kind = torch.device("cuda", place) if isinstance(place, int) else torch.device(place)
    return kind.type == device.type

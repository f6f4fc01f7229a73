"""How a model's image processor makes pixels of a picture: its configuration, and whether an adapter saw another."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from influence.errors import BaseModelNotFound, TaskMismatch

PROCESSOR_FILE = "preprocessor_config.json"
_MAX_BYTES = 1 << 20
#: What decides the pixels; where a file leaves one out, nothing is known to differ.
_FIELDS = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "crop_pct",
    "do_rescale",
    "rescale_factor",
    "rescale_offset",
    "do_normalize",
    "image_mean",
    "image_std",
    "include_top",
    "do_flip_channel_order",
    "do_pad",
    "pad_size",
    "size_divisor",
)
_HINT = (
    "Save it beside the model, AutoImageProcessor.from_pretrained(name).save_pretrained(folder), as it was in training."
)


def check_processor(base: Path, adapter: Path | None) -> None:
    """Raise BaseModelNotFound where a base model says nothing of its pixels, TaskMismatch where its adapter differs.

    `adapter` is a folder that may hold a processor of its own: what the trainer saved beside it.
    """
    stated = _read(base)
    if stated is None:
        raise BaseModelNotFound(
            f"The base model has no {PROCESSOR_FILE}, so that it is not known how its pixels were made.", hint=_HINT
        )
    own = None if adapter is None else _read(adapter)
    if own is None:
        return
    differing = [
        name for name in _FIELDS if name in own and name in stated and _plain(own[name]) != _plain(stated[name])
    ]
    if differing:
        raise TaskMismatch(
            f"The adapter was saved with another image processor than its base model's: {', '.join(differing)} differ.",
            hint=f"Put the adapter's {PROCESSOR_FILE} into the base model's folder, or leave it out of the upload if "
            "training did not use it.",
            extra={"fields": differing},
        )


def _read(folder: Path) -> Mapping[str, Any] | None:
    """The processor's configuration; None where the folder has none. Raises BaseModelNotFound where it is no JSON."""
    file = folder / PROCESSOR_FILE
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_bytes()) if file.stat().st_size <= _MAX_BYTES else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BaseModelNotFound(f"{PROCESSOR_FILE} cannot be read.", hint=_HINT)
    return found


def _plain(value: Any) -> Any:
    """A value as it is written by now: a size of one number stood for a square."""
    return {"height": value, "width": value} if isinstance(value, int) and not isinstance(value, bool) else value

"""How a process loads checkpoints."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from influence.rows.images.store import NO_IMAGES, ImageStore

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Where to and from: `device`, the hub's `cache_dir`, and whether to stay `offline`; base models quantised to
    `load_in_bits` (4 or 8), or spread over all GPUs by `device_map`, where they are given. `images` opens those of
    rows.
    """

    cache_dir: Path
    device: torch.device = CPU
    offline: bool = True
    load_in_bits: int | None = None
    device_map: str = ""
    images: ImageStore = NO_IMAGES

    def unquantised(self) -> "LoadOptions":
        """The same for a model that is taken as it was trained, or trained anew."""
        return replace(self, load_in_bits=None)

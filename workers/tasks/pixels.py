"""From the image of a row to the pixels that a model reads."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from influence.errors import RowsUnfit, TaskMismatch
from influence.rows.images.store import ImageStore
from workers.rows import Row
from workers.tasks.refusals import id_of, refuse_rows

#: Images wide and high, whose pixels have to come out alike: rows of a batch are stacked.
_TRIED_SIZES = ((61, 32), (32, 61))
_CHANNELS = 3


class PixelReader:
    """Opens images and gives them to a model's own image processor, on the CPU and without torchvision.

    `shape` (C, H, W) is that of every row's pixels. Raises TaskMismatch where they would not all have one shape.
    """

    def __init__(self, processor: Any, images: ImageStore, *, channels: int = _CHANNELS) -> None:
        self._processor = processor
        self._images = images
        if channels != _CHANNELS:
            raise TaskMismatch(
                f"The model reads images of {channels} channels.", hint="Models that read RGB images are scored."
            )
        first, second = (tuple(self.pixels(Image.new("RGB", size)).shape) for size in _TRIED_SIZES)
        if first != second:
            raise TaskMismatch(
                f"The model's image processor gives images of other sizes other pixels: {first[1:]} and {second[1:]}.",
                hint="Set do_resize with height and width, or do_center_crop, in preprocessor_config.json, as training "
                "did.",
            )
        self.shape = first

    def check(self, rows: Sequence[Row]) -> None:
        """Raise RowsUnfit naming rows without an image, or whose image is not there any more."""
        without = [id_of(row) for row in rows if not isinstance(row.get("image"), Mapping)]
        if without:
            refuse_rows(
                RowsUnfit,
                without,
                "without 'image'",
                hint="This checkpoint reads images: rows have 'image' and 'label'.",
            )
        lost = [id_of(row) for row in rows if not self._is_there(row["image"])]
        if lost:
            refuse_rows(RowsUnfit, lost, "whose images are not on this machine", hint="Send the data set again.")

    def read(self, row: Row) -> Tensor:
        """Pixels (C, H, W) float32 of a row. Raises NotFound and Internal where its image is gone or damaged."""
        return self.pixels(self.open(row))

    def open(self, row: Row) -> Image.Image:
        """The image as it was sent in: RGB."""
        return self._images.open(row["image"])

    def pixels(self, image: Image.Image) -> Tensor:
        """Pixels (C, H, W) float32 of an RGB image."""
        found: NDArray[np.float32] = self._processor(images=image, return_tensors="np")["pixel_values"][0]
        return torch.from_numpy(np.ascontiguousarray(found, dtype=np.float32))

    def show(self, pixels: Tensor) -> Image.Image:
        """What the model sees, as people do: scaling and normalising undone."""
        processor, values = self._processor, pixels.permute(1, 2, 0).numpy().astype(np.float64)
        if getattr(processor, "do_normalize", False):
            values = values * np.array(processor.image_std) + np.array(processor.image_mean)
        if getattr(processor, "do_rescale", False):
            values = values / processor.rescale_factor
        return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))

    def describe(self) -> str:
        """What is done to an image, in a sentence."""
        processor = self._processor
        steps = [
            f"{name} {_spelt(getattr(processor, figure, None))}".strip()
            for name, flag, figure in _STEPS
            if getattr(processor, flag, False)
        ]
        _, height, width = self.shape
        return f"{width} x {height} pixels: {', '.join(steps) or 'as they are'}"

    def _is_there(self, image: Mapping[str, Any]) -> bool:
        return "png" in image or not self._images.missing([str(image["digest"])])


_STEPS = (
    ("resized to", "do_resize", "size"),
    ("cropped to", "do_center_crop", "crop_size"),
    ("times", "do_rescale", "rescale_factor"),
    ("normalised by mean", "do_normalize", "image_mean"),
)


def _spelt(value: Any) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)  # transformers keeps sizes so
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {size}" for name, size in value.items() if size is not None)
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)

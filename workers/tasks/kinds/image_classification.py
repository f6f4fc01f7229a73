"""Image classification: a picture and one class."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from influence.contracts.tasks import IMAGE_CLASSES, TaskName
from workers.gradients.losses import row_cross_entropy
from workers.gradients.passes import failing_by_name
from workers.rows import Batch, EncodedRow, Row
from workers.tasks.base import Materials, Prediction, RenderedRow
from workers.tasks.kinds.class_labels import ClassLabels
from workers.tasks.kinds.labelled_text import refuse_unlabelled
from workers.tasks.pixels import PixelReader
from workers.tasks.refusals import id_of

#: Rows that are predicted at once.
_PREDICT_ROWS = 16
_PIXELS = "pixel_values"
_HINT = (
    "If training had other pixels, put its preprocessor_config.json into the base model's folder. If transformers "
    "itself fails so on one image, this model cannot be scored."
)


class ImageClassification:
    """Labels are class numbers, or names of `label_names` in the order of the head's outputs.

    Encoded rows hold the row itself: pixels of a whole data set would not fit into memory, so that they are made when a
    batch is. A row is as long as it has patches.
    """

    name: TaskName = IMAGE_CLASSES.name

    def __init__(
        self, reader: PixelReader, *, patches: int, num_labels: int, label_names: Sequence[str] | None
    ) -> None:
        self._reader = reader
        self._patches = patches
        self._classes = ClassLabels(num_labels, label_names)

    @classmethod
    def make(cls, materials: Materials) -> "ImageClassification":
        """The task of a loaded checkpoint. Raises TaskMismatch for a loss scope: the loss falls on the label."""
        materials.refuse_scope()
        config = materials.model.config
        return cls(
            materials.pixels,
            patches=count_patches(materials.pixels.shape, config),
            num_labels=int(config.num_labels),
            label_names=materials.checkpoint.label_names,
        )

    def tokenise(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Check rows and number their classes. Raises RowsUnfit, LabelUnknown and LabelOutOfRange naming the rows."""
        self._reader.check(rows)
        refuse_unlabelled(rows)
        return self._encode(rows, self._classes.number([(row, row["label"]) for row in rows]))

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        pixels = torch.stack([self._reader.read(row.inputs[_PIXELS]) for row in rows])
        return Batch({_PIXELS: pixels}, torch.tensor([row.labels for row in rows]))

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return row_cross_entropy(_logits(model, batch), batch.labels)

    def class_probabilities(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return _logits(model, batch).float().softmax(dim=-1)

    @torch.no_grad()
    def predict(self, model: torch.nn.Module, rows: Sequence[Row]) -> list[Prediction | None]:
        """The most probable class of each row; the first of equals."""
        self._reader.check(rows)
        device = next(model.parameters()).device
        encoded = self._encode(rows, [0] * len(rows))
        found: list[Prediction | None] = []
        for start in range(0, len(rows), _PREDICT_ROWS):
            batch = self.collate(encoded[start : start + _PREDICT_ROWS]).to(device)
            best = self.class_probabilities(model, batch).cpu().max(dim=-1)
            found += [
                Prediction(label=self._classes.spell(label), probability=chance)
                for label, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
        return found

    def with_prediction(self, row: Row, prediction: Prediction) -> Row:
        return {**row, "label": prediction.label}

    def render(self, row: Row) -> RenderedRow:
        self._reader.check([row])
        image = self._reader.show(self._reader.read(row))
        return RenderedRow(self._reader.describe(), (), (), image=image)

    def _encode(self, rows: Sequence[Row], labels: Sequence[int]) -> list[EncodedRow]:
        return [
            EncodedRow(id_of(row), {_PIXELS: row}, label, self._patches)
            for row, label in zip(rows, labels, strict=True)
        ]


def count_patches(shape: Sequence[int], config: Any) -> int:
    """Patches that a model cuts an image of shape (C, H, W) into: the unit of the budget of a batch."""
    size = getattr(config, "patch_size", 1)
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return max(1, (shape[1] // int(height)) * (shape[2] // int(width)))


def _logits(model: torch.nn.Module, batch: Batch) -> Tensor:
    # A model in half precision reads pixels in its own type.
    dtype = next(weight.dtype for weight in model.parameters() if weight.is_floating_point())
    pixels = batch.inputs[_PIXELS].to(dtype)
    who = f"The model fails on the {pixels.shape[-1]} x {pixels.shape[-2]} pixels that its image processor makes"
    with failing_by_name(who, _HINT):
        found: Tensor = model(pixel_values=pixels).logits
    return found

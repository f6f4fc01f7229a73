"""Text to image by diffusion: an image with a caption, of which the loss is a mean over timesteps of noise."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy

import torch
from torch import Tensor

from influence.contracts.index import DiffusionSettings, Measurement
from influence.contracts.points import GenerationSettings
from influence.contracts.tasks import TEXT_TO_IMAGE, TaskName
from influence.errors import RowsUnfit
from influence.rows.images.content import inline_image
from influence.rows.images.store import ImageStore
from workers.rows import Batch, EncodedRow, Row
from workers.tasks.base import Materials, Prediction, RenderedRow
from workers.tasks.diffusion.conditions import Conditions, Text
from workers.tasks.diffusion.objective import LATENTS, POOLED, SIZES, STATES, STEPS, Objective
from workers.tasks.diffusion.parts import PipelineParts
from workers.tasks.diffusion.sampling import sample_latents
from workers.tasks.encoding import TextEncoder
from workers.tasks.refusals import id_of, refuse_rows

#: Places of a latent that cost about as much as a token of a language model.
_PLACES_PER_TOKEN = 4


class TextToImage:
    """A row is an image and its caption. The loss falls on the noise that the UNet is to find in the image."""

    name: TaskName = TEXT_TO_IMAGE.name

    def __init__(
        self,
        encoder: TextEncoder,
        parts: PipelineParts,
        settings: DiffusionSettings,
        *,
        resolution: int,
        images: ImageStore,
    ) -> None:
        self._encoder = encoder
        self._parts = parts
        self._images = images
        self._settings = settings
        self._objective = Objective(parts, settings)
        self._conditions = Conditions(parts, resolution)
        places = (resolution // parts.pixels_per_place) ** 2
        self._length = max(1, settings.timesteps * places // _PLACES_PER_TOKEN)

    @classmethod
    def make(cls, materials: Materials) -> "TextToImage":
        """The task of a loaded checkpoint. Raises TaskMismatch for a loss scope: no token carries loss."""
        materials.refuse_scope()
        pipeline, parts = materials.checkpoint.pipeline, materials.parts
        assert pipeline is not None
        assert parts is not None
        settings = materials.settings.diffusion or DiffusionSettings()
        return cls(
            materials.encoder,
            parts,
            settings,
            resolution=settings.resolution or pipeline.resolution,
            images=materials.images,
        )

    def tokenise(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode captions; images are opened when a batch is made. Raises RowsUnfit and RowTooLong naming rows."""
        self._check(rows)
        texts = [str(row["text"]) for row in rows]
        ids, cut = self._read(texts)
        self._encoder.refuse_long([id_of(row) for row in rows], cut)
        inputs = [
            {"ids": first, "second": second, "image": row["image"]}
            for row, first, second in zip(rows, ids, self._read_second(texts), strict=True)
        ]
        return [
            EncodedRow(id_of(row), found, 0, self._length, truncated=was_cut)
            for row, found, was_cut in zip(rows, inputs, cut, strict=True)
        ]

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        """Latents (B, C, h, w), text states (B, T, D) and steps (B, K)."""
        latents = [self._latents(row.inputs["image"]) for row in rows]
        read = [
            self._beside(self._conditions.text(row.inputs["ids"], row.inputs["second"]), row.inputs["image"])
            for row in rows
        ]
        count = len(self._objective.timesteps)
        inputs = {
            LATENTS: torch.stack(latents),
            **{name: torch.stack([one[name] for one in read]) for name in read[0]},
            STEPS: torch.arange(count).expand(len(rows), count).contiguous(),
        }
        return Batch(inputs, torch.zeros(len(rows)), copies=count, by_copy=(STEPS,))

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return self._objective.row_losses(model, batch)

    def training_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return self._objective.training_losses(model, batch)

    def measured_by(self, measurement: Measurement) -> "TextToImage":
        other = copy(self)
        other._objective = Objective(self._parts, self._settings.model_copy(update={"measurement": measurement}))
        return other

    def pixels(self, rows: Sequence[EncodedRow]) -> Tensor:
        images = (self._images.open(row.inputs["image"]) for row in rows)
        return torch.stack([self._conditions.pixels(image).flatten() for image in images])

    def embed(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """The latents, or the pixels, of each image: what looks alike lies close."""
        return torch.nn.functional.normalize(batch.inputs[LATENTS].float().flatten(1), dim=1)

    def predict(self, model: torch.nn.Module, rows: Sequence[Row]) -> list[Prediction | None]:
        """An image for each caption, with the settings that a request has by default."""
        return [self.paint(model, row, GenerationSettings(), nullcontext()) for row in rows]

    def paint(
        self, model: torch.nn.Module, row: Row, asked: GenerationSettings, lock: AbstractContextManager[object]
    ) -> Prediction:
        texts = [str(row["text"]), ""]
        ids, _ = self._read(texts)
        text, empty = map(self._conditions.text, ids, self._read_second(texts))
        size = self._conditions.latent_shape
        # As if a training image had just the size that is made.
        square = {"height": self._conditions.resolution, "width": self._conditions.resolution}
        read = [self._beside(one, square) for one in (text, text.zeros() if self._parts.zeros_for_empty else empty)]
        latents = sample_latents(model, self._parts, read, size, asked, lock)
        return Prediction(image=inline_image(self._conditions.show(latents)))

    def with_prediction(self, row: Row, prediction: Prediction) -> Row:
        return {**row, "image": prediction.image}

    def render(self, row: Row) -> RenderedRow:
        (encoded,) = self.tokenise([row])
        ids = encoded.inputs["ids"]
        return RenderedRow(self._encoder.decode(ids), self._encoder.tokens(ids), (False,) * len(ids), encoded.truncated)

    def _latents(self, image: Row) -> Tensor:
        return self._conditions.latents(str(image["digest"]), lambda: self._images.open(image))

    def _beside(self, text: Text, image: Row) -> dict[str, Tensor]:
        if text.pooled is None:
            return {STATES: text.states}
        return {STATES: text.states, POOLED: text.pooled, SIZES: self._conditions.sizes(image)}

    def _read_second(self, texts: Sequence[str]) -> list[list[int] | None]:
        second = self._parts.second
        if second is None:
            return [None] * len(texts)
        return [row["input_ids"] for row in second.reader.encode_pairs(texts, None)[0]]

    def _read(self, texts: Sequence[str]) -> tuple[list[list[int]], list[bool]]:
        inputs, cut = self._encoder.encode_pairs(texts, None)
        return [row["input_ids"] for row in inputs], cut

    def _check(self, rows: Sequence[Row]) -> None:
        unfit = [id_of(row) for row in rows if not isinstance(row.get("text"), str)]
        if unfit:
            refuse_rows(RowsUnfit, unfit, "without a caption", hint="Send rows with an image and a text.")
        bare = [id_of(row) for row in rows if not isinstance(row.get("image"), dict)]
        if bare:
            refuse_rows(
                RowsUnfit,
                bare,
                "without an image",
                hint="Send rows with an image and a text, or target 'prediction', where the model makes the image.",
            )

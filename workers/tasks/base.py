"""The interface of a task: everything that depends on what a row is and on what the model answers."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

from influence.contracts.checkpoint import Checkpoint, RowEnds
from influence.contracts.common import Json, Reduction
from influence.contracts.dataset import LabelValue
from influence.contracts.index import GradientSettings, Measurement
from influence.contracts.points import GenerationSettings
from influence.contracts.tasks import TaskName
from influence.errors import TaskMismatch
from influence.rows.images.store import NO_IMAGES, ImageStore
from workers.rows import Batch, EncodedRow, Row
from workers.tasks.diffusion.parts import PipelineParts
from workers.tasks.encoding import Span, TextEncoder
from workers.tasks.pixels import PixelReader


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's own answer: a label (classes by name where names are known), generated `text`, or an `image` as rows
    have it, with its pixels inside.

    `probability` is that of the class, or of the whole text.
    """

    label: LabelValue | None = None
    probability: float | None = None
    text: str | None = None
    image: Json | None = None


@dataclass(frozen=True, slots=True)
class RenderedRow:
    """A row as the model reads it; `supervised[i]` says whether `tokens[i]` carries loss.

    A classifier's loss falls on the label, on none of the tokens. `image` is what a model of images sees, RGB.
    """

    text: str
    tokens: tuple[str, ...]
    supervised: tuple[bool, ...]
    truncated: bool = False
    image: Image.Image | None = None


@dataclass(frozen=True, slots=True)
class ReadRow:
    """The text of a row, and of each token of its `input_ids` how it reads and, where known, its characters."""

    text: str
    tokens: tuple[str, ...]
    spans: tuple[Span, ...] | None


@dataclass(frozen=True, slots=True)
class Materials:
    """What a task is made of: a loaded base model with its checkpoint, and how gradients are to be taken.

    `reader` makes of rows what the model reads. `pad_id` is an id to fill batches with where nothing is read from it;
    `head_pad_id` is the configuration's own, by which a classifying decoder finds the end of a row, if there is one.
    `images` opens those of rows; `parts` are those of a diffusion pipeline.
    """

    checkpoint: Checkpoint
    model: Any
    reader: TextEncoder | PixelReader
    settings: GradientSettings
    pad_id: int = 0
    head_pad_id: int | None = None
    images: ImageStore = NO_IMAGES
    parts: PipelineParts | None = None

    @property
    def encoder(self) -> TextEncoder:
        """What turns texts into tokens, of a task that reads them."""
        assert isinstance(self.reader, TextEncoder), "the task reads no text"
        return self.reader

    @property
    def pixels(self) -> PixelReader:
        """What turns images into pixels, of a task that reads them."""
        assert isinstance(self.reader, PixelReader), "the task reads no images"
        return self.reader

    def ends(self, *ways: str) -> RowEnds | None:
        """How training ended rows, where it was one of these ways."""
        training = self.checkpoint.training
        return training.ends if training is not None and training.way in ways else None

    def stop_ids(self) -> list[int]:
        """Tokens that end what the model writes."""
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        ids = configured if isinstance(configured, list) else [configured, self.encoder.tokenizer.eos_token_id]
        return [int(found) for found in ids if found is not None]

    def refuse_scope(self) -> None:
        """Raise TaskMismatch where the settings speak of tokens that carry loss, though it falls on the label."""
        if self.settings.loss is not None:
            raise TaskMismatch("'loss' says which tokens carry loss; a classifier's loss falls on the label.")
        if self.settings.reduction != "mean":
            raise TaskMismatch("'reduction' is over tokens that carry loss; a classifier's loss falls on the label.")


class Task(Protocol):
    """One kind of training. Methods may be called from several threads; those with a model run it in evaluation mode.

    A row's loss is the mean or the sum over its supervised tokens, so that it does not depend on the batch around it.
    """

    @property
    def name(self) -> TaskName: ...

    def tokenise(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode rows in order. Raises RowsRefused naming the rows that cannot be scored."""

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        """Pad on the right and stack."""

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """Loss of each row, (B,) float32, differentiable."""

    def predict(self, model: torch.nn.Module, rows: Sequence[Row]) -> list[Prediction | None]:
        """The model's answer to each row, whose label is not looked at; None where a row asks nothing."""

    def with_prediction(self, row: Row, prediction: Prediction) -> Row:
        """The row with the model's answer in the label's place."""

    def render(self, row: Row) -> RenderedRow:
        """What the model reads, and where the loss falls."""


@runtime_checkable
class OfTokens(Task, Protocol):
    """A task whose loss falls on tokens."""

    def loss_units(self, batch: Batch) -> int:
        """What the sum of a batch's row losses is divided by in training: its rows where these are means, its
        supervised tokens where they are sums."""

    def reduced_by(self, reduction: Reduction) -> "Task":
        """The same task with each row's loss the mean or the sum over its tokens."""


@runtime_checkable
class Reader(Task, Protocol):
    """A task that reads a row as one sequence of tokens."""

    def read(self, row: Row) -> ReadRow:
        """The row's tokens as people read them, one for each of the encoded row's `input_ids`."""


@runtime_checkable
class TokenScorer(Task, Protocol):
    """A task whose loss is a mean over tokens."""

    def token_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """The loss of each token (B, T) float32; NaN where none falls."""


@runtime_checkable
class Writer(Task, Protocol):
    """A task whose answers are text, so that the loss can fall on a part of one."""

    def tokenise_span(self, rows: Sequence[Row], span: Span) -> list[EncodedRow]:
        """Encode rows with the loss on the tokens that hold a character of the span of their answers.

        Raises RowsRefused as `tokenise` does, and for rows whose answer has no such part.
        """


@runtime_checkable
class Painter(Task, Protocol):
    """A task whose answers are images."""

    def paint(
        self, model: torch.nn.Module, row: Row, asked: GenerationSettings, lock: AbstractContextManager[object]
    ) -> Prediction:
        """An image for the row's caption, the same whenever seed and settings are; the lock is held for one pass of
        the model at a time."""


@runtime_checkable
class DrawsInTraining(Task, Protocol):
    """A task whose training draws more than batches and dropout, noise for one."""

    def training_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """Loss of each row (B,) under draws from torch's generator, differentiable."""


@runtime_checkable
class Pictured(Task, Protocol):
    """A task whose rows are images that a model of them makes, so that other figures than losses are had of both."""

    def measured_by(self, measurement: Measurement) -> "Task":
        """The same task with its gradients taken of something else than the loss, or of the loss again."""

    def pixels(self, rows: Sequence[EncodedRow]) -> Tensor:
        """Pixels (rows, P) float32 of the images, at the resolution of the model."""


@runtime_checkable
class Embedder(Task, Protocol):
    """A task that says itself what stands for a row in a comparison of rows."""

    def embed(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """Vectors (B, width) float32 at length 1."""


@runtime_checkable
class OfHead(Task, Protocol):
    """A task whose answer to a row is read from what the head gives for it."""

    def questions(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode rows whose labels are not looked at. Raises RowsRefused as `tokenise` does."""

    def logits(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """What the head gives for each row (B, C)."""

    def answer(self, outputs: Tensor) -> list[Prediction]:
        """What outputs (B, C) float32 of the head say of each row."""


@runtime_checkable
class Classifier(Task, Protocol):
    """A task whose rows have one of a few classes: an encoded row's `labels` is the number of its class."""

    def class_probabilities(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """Probabilities (B, C) float32 of every class for each row; labels are not looked at."""

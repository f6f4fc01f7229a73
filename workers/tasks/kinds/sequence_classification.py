"""Sequence classification: a text, or a pair of texts, and one class."""

from collections.abc import Sequence

import torch
from torch import Tensor

from influence.contracts.tasks import SEQUENCE_CLASSIFICATION, TaskName
from workers.gradients.losses import row_cross_entropy
from workers.rows import Batch, Row
from workers.tasks.base import Materials, Prediction
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.class_labels import ClassLabels
from workers.tasks.kinds.labelled_text import LabelledText, refuse_unlabelled


class SequenceClassification(LabelledText):
    """Labels are class numbers, or names of `label_names` in the order of the head's outputs."""

    name: TaskName = SEQUENCE_CLASSIFICATION.name

    def __init__(
        self, encoder: TextEncoder, *, pad_id: int | None, num_labels: int, label_names: Sequence[str] | None = None
    ) -> None:
        super().__init__(encoder, pad_id=pad_id)
        self._classes = ClassLabels(num_labels, label_names)

    @classmethod
    def make(cls, materials: Materials) -> "SequenceClassification":
        """The task of a loaded checkpoint. Raises TaskMismatch for a loss scope: the loss falls on the label."""
        materials.refuse_scope()
        return cls(
            materials.encoder,
            pad_id=materials.head_pad_id,
            num_labels=int(materials.model.config.num_labels),
            label_names=materials.checkpoint.label_names,
        )

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return row_cross_entropy(self.logits(model, batch), batch.labels)

    def class_probabilities(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return self.logits(model, batch).float().softmax(dim=-1)

    def answer(self, outputs: Tensor) -> list[Prediction]:
        """The most probable class of each row; the first of equals."""
        best = outputs.softmax(dim=-1).max(dim=-1)
        return [
            Prediction(label=self._classes.spell(label), probability=chance)
            for label, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def read_labels(self, rows: Sequence[Row]) -> list[int]:
        """Classes as numbers. Raises RowsUnfit, LabelUnknown and LabelOutOfRange naming the rows."""
        refuse_unlabelled(rows)
        return self._classes.number([(row, row["label"]) for row in rows])

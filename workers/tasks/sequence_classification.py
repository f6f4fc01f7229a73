"""Sequence classification: a text, or a pair of texts, and one class."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from influence.contracts.tasks import SEQUENCE_CLASSIFICATION, TaskName
from influence.errors import LabelOutOfRange, LabelUnknown
from workers.gradients.losses import row_cross_entropy
from workers.rows import Batch, Row
from workers.tasks.base import Materials, Prediction
from workers.tasks.encoding import TextEncoder
from workers.tasks.labelled_text import LabelledText, refuse_unlabelled
from workers.tasks.refusals import id_of, refuse_rows


class SequenceClassification(LabelledText):
    """Labels are class numbers, or names of `label_names` in the order of the head's outputs."""

    name: TaskName = SEQUENCE_CLASSIFICATION.name

    def __init__(
        self, encoder: TextEncoder, *, pad_id: int | None, num_labels: int, label_names: Sequence[str] | None = None
    ) -> None:
        super().__init__(encoder, pad_id=pad_id)
        self._num_labels = num_labels
        self._names = tuple(label_names) if label_names is not None else None
        self._classes = {name: place for place, name in enumerate(self._names or ())}

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
            Prediction(label=self._spell(label), probability=chance)
            for label, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def read_labels(self, rows: Sequence[Row]) -> list[int]:
        """Classes as numbers. Raises RowsUnfit, LabelUnknown and LabelOutOfRange naming the rows."""
        refuse_unlabelled(rows)
        self._refuse_unknown_names(rows)
        labels = [self._classes[row["label"]] if isinstance(row["label"], str) else row["label"] for row in rows]
        outside = [id_of(row) for row, label in zip(rows, labels, strict=True) if not self._is_class(label)]
        if outside:
            refuse_rows(
                LabelOutOfRange,
                outside,
                f"with a label outside 0 to {self._num_labels - 1}",
                hint=f"The classifier's head has {self._num_labels} outputs; count classes from 0.",
            )
        return labels

    def _refuse_unknown_names(self, rows: Sequence[Row]) -> None:
        unknown = [row for row in rows if isinstance(row["label"], str) and row["label"] not in self._classes]
        if not unknown:
            return
        known = f"Its names begin {', '.join(map(repr, self._names[:8]))}." if self._names else "It has no names."
        refuse_rows(
            LabelUnknown,
            [id_of(row) for row in unknown],
            f"with a label that the checkpoint does not name (the first is {unknown[0]['label'][:80]!r})",
            hint=f"{known} Send the checkpoint with 'label_names', or label rows with class numbers.",
        )

    def _is_class(self, label: Any) -> bool:
        return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < self._num_labels

    def _spell(self, label: int) -> int | str:
        return label if self._names is None else self._names[label]

"""Regression: a text, or a pair of texts, and the number that the head is to give (or several); reward heads too."""

from collections.abc import Sequence

import torch
from torch import Tensor

from influence.contracts.tasks import SEQUENCE_REGRESSION, TaskName
from influence.errors import RowsUnfit
from influence.rows.label_forms.numbers import count_numbers
from workers.gradients.losses import row_squared_error
from workers.rows import Batch, Row
from workers.tasks.base import Materials, Prediction
from workers.tasks.encoding import TextEncoder
from workers.tasks.kinds.labelled_text import LabelledText, refuse_unlabelled
from workers.tasks.refusals import id_of, refuse_rows


class Regression(LabelledText):
    """A row's loss is the mean squared error over the head's outputs."""

    name: TaskName = SEQUENCE_REGRESSION.name

    def __init__(self, encoder: TextEncoder, *, pad_id: int | None, outputs: int) -> None:
        super().__init__(encoder, pad_id=pad_id)
        self._outputs = outputs
        self.no_label = [0.0] * outputs

    @classmethod
    def make(cls, materials: Materials) -> "Regression":
        """The task of a loaded checkpoint. Raises TaskMismatch for a loss scope: the loss falls on the label."""
        materials.refuse_scope()
        return cls(materials.encoder, pad_id=materials.head_pad_id, outputs=int(materials.model.config.num_labels))

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return row_squared_error(self.logits(model, batch), batch.labels)

    def read_labels(self, rows: Sequence[Row]) -> list[list[float]]:
        """As many floats per row as the head has outputs. Raises RowsUnfit naming the rows."""
        refuse_unlabelled(rows)
        other = [id_of(row) for row in rows if count_numbers(row["label"]) != self._outputs]
        if other:
            refuse_rows(
                RowsUnfit,
                other,
                f"without {self._outputs} numbers as their label",
                hint="Send rows with one number per output of the head.",
            )
        return [list(map(float, row["label"] if isinstance(row["label"], list) else [row["label"]])) for row in rows]

    def answer(self, outputs: Tensor) -> list[Prediction]:
        """The numbers that the head gives."""
        return [Prediction(label=found[0] if len(found) == 1 else found) for found in outputs.tolist()]

"""Multi-label classification: a text, or a pair of texts, and any number of classes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from influence.contracts.tasks import MULTI_LABEL_CLASSIFICATION, TaskName
from workers.gradients.losses import row_binary_cross_entropy
from workers.rows import Batch, Row
from workers.tasks.base import Materials, Prediction
from workers.tasks.class_labels import ClassLabels
from workers.tasks.encoding import TextEncoder
from workers.tasks.labelled_text import LabelledText, refuse_unlabelled


class MultiLabelClassification(LabelledText):
    """A row's loss is the mean over classes of whether the row has them. Labels are as in sequence classification."""

    name: TaskName = MULTI_LABEL_CLASSIFICATION.name

    def __init__(
        self, encoder: TextEncoder, *, pad_id: int | None, num_labels: int, label_names: Sequence[str] | None = None
    ) -> None:
        super().__init__(encoder, pad_id=pad_id)
        self._classes = ClassLabels(num_labels, label_names)
        self.no_label = [0.0] * num_labels

    @classmethod
    def make(cls, materials: Materials) -> "MultiLabelClassification":
        """The task of a loaded checkpoint. Raises TaskMismatch for a loss scope: the loss falls on the label."""
        materials.refuse_scope()
        return cls(
            materials.encoder,
            pad_id=materials.head_pad_id,
            num_labels=int(materials.model.config.num_labels),
            label_names=materials.checkpoint.label_names,
        )

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return row_binary_cross_entropy(self.logits(model, batch), batch.labels)

    def read_labels(self, rows: Sequence[Row]) -> list[list[float]]:
        """1 for every class that a row has, else 0. Raises RowsUnfit, LabelUnknown, LabelOutOfRange naming the rows."""
        refuse_unlabelled(rows)
        pairs = [(row, label) for row in rows for label in row["label"]]
        numbers = iter(self._classes.number(pairs))
        vectors = []
        for row in rows:
            has = {next(numbers) for _ in row["label"]}
            vectors.append([float(place in has) for place in range(self._classes.count)])
        return vectors

    def answer(self, outputs: Tensor) -> list[Prediction]:
        """The classes that a row rather has than not, and the probability of just these: classes are independent."""
        chances = outputs.sigmoid()
        certain = torch.maximum(chances, 1 - chances).prod(dim=-1)
        return [
            Prediction(
                label=[self._classes.spell(place) for place in torch.nonzero(found > 0.5).flatten().tolist()],
                probability=float(chance),
            )
            for found, chance in zip(chances, certain, strict=True)
        ]

"""Labels as they are given and as the model would give them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.auditing.signals import CLASS_SIGNALS
from influence.errors import NonFiniteGradients, RowsUnfit
from workers.auditing.stages import AuditedIndex, RowStage
from workers.indexes.lengths import FORWARD_SHARE
from workers.rows import Batch, EncodedRow
from workers.runtime.open import open_indexed_rows
from workers.runtime.row_stream import stream_forward
from workers.tasks.base import Classifier

_SECONDS, _FEWEST_ROWS, _MOST_ROWS = 1.0, 32, 4096


class LabelStage(RowStage):
    """Columns (n, 4) float32: given label, predicted label, probability of the given one and of the best other one.

    Only the first is filled where no signal asks for the others.
    """

    phase, name = "predictions", "labels"
    gradients_per_row = FORWARD_SHARE

    def __init__(self, audited: AuditedIndex) -> None:
        super().__init__(audited, audited.rows_in(_SECONDS / FORWARD_SHARE, least=_FEWEST_ROWS, most=_MOST_ROWS))
        task = audited.model.task
        if not isinstance(task, Classifier):
            raise RowsUnfit(f"Rows of task '{task.name}' have no class.", hint="Leave the class signals out.")
        self._task: Classifier = task
        self._file = open_indexed_rows(audited.runtime, audited.index)
        self._predicts = bool(CLASS_SIGNALS & set(audited.audit.signal_names))

    def compute(self, rows: slice) -> NDArray[np.float32]:
        encoded = self._task.tokenise(self._file.read_many(self.audited.hot.row_indexes[rows].tolist()))
        given = torch.tensor([row.labels for row in encoded])
        found = torch.zeros(len(encoded), 4)
        found[:, 0] = given.float()
        if self._predicts:
            self._predict(encoded, given, found)
        return found.numpy()

    def _predict(self, encoded: list[EncodedRow], given: Tensor, found: Tensor) -> None:
        for positions, chances in stream_forward(
            self.audited.runtime, self.audited.model, encoded, self._probabilities
        ):
            found[positions, 1:] = judge_labels(chances.cpu(), given[positions])
        bad = torch.nonzero(~torch.isfinite(found).all(dim=1)).flatten().tolist()
        if bad:
            names = ", ".join(encoded[row].row_id for row in bad[:5])
            raise NonFiniteGradients(f"The model's answers to {len(bad)} rows are not numbers: {names}.")

    def _probabilities(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return self._task.class_probabilities(model, batch)


def judge_labels(chances: Tensor, given: Tensor) -> Tensor:
    """Predicted class, probability of the given one and of the best other (B, 3), from `chances` (B, C), `given` (B,).

    The first of equally probable classes is predicted. With one class there is no other: its probability is 0.
    """
    own = chances.gather(1, given[:, None])
    others = chances.scatter(1, given[:, None], 0.0).amax(dim=1, keepdim=True)
    return torch.cat([chances.argmax(dim=1, keepdim=True).float(), own, others], dim=1)

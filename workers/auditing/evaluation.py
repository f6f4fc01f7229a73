"""The gradient of the mean evaluation loss, summed as it streams by: no set is too large to hold."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.errors import NonFiniteGradients
from influence.store.data.chunks import DamagedChunk
from workers.auditing.stages import AuditedIndex
from workers.indexes.lengths import relative_length
from workers.runtime.open import open_rows
from workers.runtime.row_stream import stream_rows

_SECONDS, _FEWEST_ROWS, _MOST_ROWS = 1.0, 16, 1024


class EvaluationStage:
    """Sum over evaluation rows of loss and gradient, all blocks joined: (1 + D,) float64, kept once a turn."""

    phase = "evaluation gradients"

    def __init__(self, audited: AuditedIndex) -> None:
        selection = audited.audit.request.evaluation
        assert selection is not None
        self._audited = audited
        self._file = open_rows(audited.runtime, selection.dataset_id, audited.model)
        self._rows: Sequence[int] = range(len(self._file)) if selection.row_indexes is None else selection.row_indexes
        self.total = len(self._rows)
        self.gradients_per_row = relative_length(audited.index, audited.model, self._file, self._rows)
        self._rows_per_piece = audited.rows_in(_SECONDS / self.gradients_per_row, least=_FEWEST_ROWS, most=_MOST_ROWS)
        self._done, self._sum = self._resume()
        self._kept = self._done

    @property
    def done(self) -> int:
        return self._done

    @property
    def mean_loss(self) -> float:
        return float(self._sum[0]) / self.total

    def mean_gradients(self) -> dict[str, Tensor]:
        """The mean gradient (1, d) float32 a block, on the device."""
        mean = torch.from_numpy(self._sum[1:] / self.total).float().to(self._audited.runtime.device)
        blocks = self._audited.index.blocks
        parts = torch.split(mean, [block.parameters for block in blocks])
        return {block.name: part[None] for block, part in zip(blocks, parts, strict=True)}

    def advance(self) -> None:
        """Add a piece. Raises NonFiniteGradients naming rows."""
        runtime, model = self._audited.runtime, self._audited.model
        encoded = model.task.tokenise(self._file.read_many(self._rows[self._done : self._done + self._rows_per_piece]))
        for positions, found in stream_rows(runtime, model, encoded):
            if bad := found.find_non_finite():
                names = ", ".join(encoded[positions[row]].row_id for row in bad[:5])
                raise NonFiniteGradients(f"Evaluation rows with NaN or infinite gradients: {names}.")
            sums = [
                found.losses.sum(dtype=torch.float64)[None],
                *(part.sum(0, dtype=torch.float64) for part in found.blocks.values()),
            ]
            self._sum += torch.cat([part.cpu() for part in sums]).numpy()
            del found  # before the next batch is computed
        self._done += len(encoded)

    def keep(self) -> None:
        """Save the sum, so that the next turn goes on from here."""
        if self._done != self._kept:
            self._audited.runtime.store.audit_data.write_sum(self._audited.audit.id, self._done, self._sum)
            self._kept = self._done

    def _resume(self) -> tuple[int, NDArray[np.float64]]:
        data, audit_id = self._audited.runtime.store.audit_data, self._audited.audit.id
        size = 1 + (self._audited.index.parameters or 0)
        done = data.sum_rows(audit_id)
        if done:
            try:
                return done, data.read_sum(audit_id, done, (size,))
            except DamagedChunk:
                pass  # the sum was lost: begin again
        return 0, np.zeros(size)

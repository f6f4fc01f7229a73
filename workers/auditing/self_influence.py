"""Self-influence of every row, in pieces small enough for others to be served between them."""

import numpy as np
from numpy.typing import NDArray

from influence.errors import NonFiniteGradients
from workers.auditing.stages import AuditedIndex, RowStage

#: Rows of codes per piece.
_CODE_ROWS = 2048
#: Multiplications per piece on full storage, where every row meets all: well below a second on a processor.
_MULTIPLICATIONS = 1 << 32
#: Fewer rows than this would spend a pass over the whole index on too little.
_FEWEST_ROWS = 16


class SelfInfluenceStage(RowStage):
    """Scores (n,) float32 of rows on themselves."""

    phase, name = "self-influence", "self_influence"
    gradients_per_row = 0.1

    def __init__(self, audited: AuditedIndex) -> None:
        a_row = max(1, audited.rows * (audited.index.parameters or 1))
        on_full = min(audited.rows, max(_FEWEST_ROWS, _MULTIPLICATIONS // a_row))
        super().__init__(audited, on_full if audited.hot.on_device else _CODE_ROWS)

    def compute(self, rows: slice) -> NDArray[np.float32]:
        found = self._score(rows)
        if not np.isfinite(found).all():
            raise NonFiniteGradients(
                "Self-influence is not a number for some rows.", hint="Use a larger damping_scale."
            )
        return found

    def _score(self, rows: slice) -> NDArray[np.float32]:
        request, hot = self.audited.audit.request, self.audited.hot
        if not hot.on_device:
            # Codes lie in the host's memory: reading them keeps nobody from the device.
            return hot.self_influence(request.method, request.damping_scale, rows)
        # Outside the lock: a solve's factors take long, and once.
        hot.prepare(request.method, request.damping_scale)
        with self.audited.runtime.device_lock:
            return hot.self_influence(request.method, request.damping_scale, rows)

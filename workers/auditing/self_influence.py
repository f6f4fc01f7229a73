"""Self-influence of every row, in pieces small enough for others to be served between them."""

import numpy as np
from numpy.typing import NDArray

from influence.errors import NonFiniteGradients
from workers.auditing.stages import RowStage, Subject
from workers.scoring.compact import CompactIndex

#: Rows of codes a piece.
_CODE_ROWS = 8192
#: Multiplications a piece on full storage, where every row meets all: a third of a second on a processor core or two.
_MULTIPLICATIONS = 1 << 32
#: Fewer rows than this would spend a pass over the whole index on too little.
_FEWEST_ROWS = 16


class SelfInfluenceStage(RowStage):
    """Scores (n,) float32 of rows on themselves."""

    phase, name = "self-influence", "self_influence"

    def __init__(self, subject: Subject) -> None:
        a_row = max(1, subject.rows * (subject.index.parameters or 1))
        on_full = min(subject.rows, max(_FEWEST_ROWS, _MULTIPLICATIONS // a_row))
        super().__init__(subject, _CODE_ROWS if isinstance(subject.hot, CompactIndex) else on_full)

    def compute(self, rows: slice) -> NDArray[np.float32]:
        request = self.subject.audit.request
        with self.subject.runtime.device_lock:
            found = self.subject.hot.self_influence(request.method, request.damping_scale, rows)
        if not np.isfinite(found).all():
            raise NonFiniteGradients(
                "Self-influence is not a number for some rows.", hint="Use a larger damping_scale."
            )  # fmt: skip
        return found

"""What all stages of an audit share: pieces that are kept in Redis as soon as they are done."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from influence.contracts.audit import Audit
from influence.contracts.index import Index
from influence.store.data.chunks import DamagedChunk
from workers.runtime.hot_indexes import HotIndex
from workers.runtime.models import HotModel
from workers.runtime.state import Runtime

#: Rows per second where the index does not say how fast it was built.
_UNKNOWN_RATE = 64.0


@dataclass(frozen=True)
class AuditedIndex:
    """An audit with what it is about; rows are positions in `hot`."""

    runtime: Runtime
    audit: Audit
    index: Index
    model: HotModel
    hot: HotIndex

    @property
    def rows(self) -> int:
        return len(self.hot.row_indexes)

    def rows_in(self, seconds: float, *, least: int, most: int) -> int:
        """Rows whose gradients take about so long: by the index's record, so that every worker cuts alike."""
        return max(least, min(most, int(self.gradients_per_second * seconds)))

    @property
    def gradients_per_second(self) -> float:
        """As they were computed for the index."""
        return self.index.rows_per_second or _UNKNOWN_RATE


class Stage(Protocol):
    """A stage of an audit. `done` of `total` rows are done; `advance` does a piece more, `keep` saves what it has.

    A row takes about as long as `gradients_per_row` gradients.
    """

    phase: str
    gradients_per_row: float
    total: int

    @property
    def done(self) -> int: ...

    def advance(self) -> None: ...

    def keep(self) -> None: ...


class RowStage:
    """A stage that makes an array for every piece of consecutive rows, each kept under its number."""

    phase: str
    gradients_per_row: float
    name: str

    def __init__(self, audited: AuditedIndex, rows_per_part: int) -> None:
        self.audited = audited
        self.total = audited.rows
        self._rows_per_part = rows_per_part
        # An index that is built anew meanwhile may be cut in other parts: those are no parts of these.
        self._name = f"{self.name}.{rows_per_part}"
        self._parts = -(-audited.rows // rows_per_part)
        self._missing = self._find_missing()

    @property
    def done(self) -> int:
        """Rows whose parts are there, to within a part."""
        return self.total if not self._missing else (self._parts - len(self._missing)) * self._rows_per_part

    def advance(self) -> None:
        """Compute and keep the first missing part."""
        part = self._missing[0]
        start = part * self._rows_per_part
        found = self.compute(slice(start, min(start + self._rows_per_part, self.total)))
        self.audited.runtime.store.audit_data.commit_part(self.audited.audit.id, self._name, part, found)
        del self._missing[0]

    def keep(self) -> None:
        """Parts are kept as they are made."""

    def compute(self, rows: slice) -> NDArray[Any]:
        """The array (rows, ...) of some rows."""
        raise NotImplementedError

    def gather(self) -> NDArray[Any] | None:
        """All parts joined (n, ...); None when some were lost, which are then to be computed again."""
        parts, data = [], self.audited.runtime.store.audit_data
        for part in range(self._parts):
            try:
                parts.append(data.read_part(self.audited.audit.id, self._name, part))
            except DamagedChunk:
                self._missing = self._find_missing()
                return None
        return np.concatenate(parts)

    def _find_missing(self) -> list[int]:
        return self.audited.runtime.store.audit_data.missing_parts(self.audited.audit.id, self._name, self._parts)

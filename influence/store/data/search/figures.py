"""The figures of the audits that were looked at last: a page of a million rows does not read all of them again."""

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from influence.contracts.audit import Audit
from influence.process.lru import Lru
from influence.store.data.audits import AuditData, column_types

#: Seven columns of a million rows are 28 MB.
KEPT_BYTES = 128 << 20

Figures = Mapping[str, NDArray[Any]]


class AuditFigures:
    """Columns (rows audited,) of finished audits, kept in memory under a bound in bytes and not to be written to.

    A finished audit's table never changes, and an audit that is sent again has another job: the key is both.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept: Lru[tuple[str, str], Figures] = Lru(kept_bytes, size_of=_count_bytes)

    def read(self, data: AuditData, audit: Audit) -> Figures | None:
        """All columns of a finished audit; None when they are lost, which is asked again each time."""
        key = (audit.id, audit.job_id)
        found = self._kept.get(key, lambda: _read(data, audit))
        if not found:
            self._kept.forget(lambda one: one == key)
        return found or None

    def forget(self, audit_id: str) -> None:
        """Let go of an audit that was deleted."""
        self._kept.forget(lambda key: key[0] == audit_id)

    @property
    def kept_bytes(self) -> int:
        """What all columns take."""
        return self._kept.size

    def forget_removed(self, is_held: Callable[[str], bool]) -> None:
        """Let go of audits that another process deleted, or whose time is over: of those that are not held."""
        for audit_id in {audit_id for audit_id, _ in self._kept}:
            if not is_held(audit_id):
                self.forget(audit_id)


def _read(data: AuditData, audit: Audit) -> Figures:
    found = data.read_columns(audit.id, audit.rows_audited or 0, column_types(audit.columns)) or {}
    for column in found.values():
        column.flags.writeable = False
    return found


def _count_bytes(figures: Figures) -> int:
    return sum(column.nbytes for column in figures.values())

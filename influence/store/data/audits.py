"""What an audit keeps in Redis beside its record: its table by columns, and parts of the work under way.

A part is one field of a hash, written once (HSETNX): the bytes are their own commit. A part that is computed twice is
the same, and what is not there is computed again.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import redis
from numpy.typing import NDArray

from influence.store import keys
from influence.store.data.chunks import DamagedChunk, pack, read_array, unpack, write_array

_DELETE_BATCH = 500
_INTEGERS = {"row_index": "int64", "label": "int32", "predicted": "int32"}


def column_types(names: Iterable[str]) -> dict[str, str]:
    """The dtypes that columns of a table are kept in."""
    return {name: _INTEGERS.get(name, "float32") for name in names}


class AuditData:
    """Columns (rows audited,) of finished audits, parts and sums of those under way."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def write_columns(self, audit_id: str, columns: Mapping[str, NDArray[Any]]) -> None:
        """Keep the table for as long as the audit's record."""
        for name, array in columns.items():
            write_array(self._client, partial(keys.audit_column, audit_id, name), array)

    def read_columns(self, audit_id: str, rows: int, dtypes: Mapping[str, str]) -> dict[str, NDArray[Any]] | None:
        """The columns named, or None when they are lost."""
        try:
            return {
                name: read_array(self._client, partial(keys.audit_column, audit_id, name), (rows,), dtype)
                for name, dtype in dtypes.items()
            }
        except DamagedChunk:
            return None

    def commit_part(self, audit_id: str, stage: str, part: int, array: NDArray[np.generic]) -> None:
        """Keep one part of a stage, an array of less than one value's size."""
        (value,) = pack(array)
        self._client.hsetnx(keys.audit_parts(audit_id, stage), str(part), value)

    def missing_parts(self, audit_id: str, stage: str, parts: int) -> list[int]:
        """Which of the parts 0 .. parts - 1 are not there."""
        known = {int(field) for field in self._client.hkeys(keys.audit_parts(audit_id, stage))}
        return [part for part in range(parts) if part not in known]

    def read_part(self, audit_id: str, stage: str, part: int) -> NDArray[np.generic]:
        """One part; raises DamagedChunk, and forgets it, when it is lost or damaged."""
        name = keys.audit_parts(audit_id, stage)
        try:
            return unpack([cast("bytes | None", self._client.hget(name, str(part)))])
        except DamagedChunk:
            self._client.hdel(name, str(part))
            raise

    def write_sum(self, audit_id: str, rows: int, total: NDArray[np.float64]) -> None:
        """Keep a sum over the first `rows` evaluation rows; it replaces the one before."""
        name = keys.audit_parts(audit_id, "evaluation")
        before = self.sum_rows(audit_id)
        write_array(self._client, partial(keys.audit_sum, audit_id, rows), total)
        self._client.hset(name, "rows", rows)
        if before not in (0, rows):
            self._delete_matching(keys.audit_sum(audit_id, before, 0)[:-1] + "*")

    def sum_rows(self, audit_id: str) -> int:
        """Over how many evaluation rows the kept sum goes; 0 when there is none."""
        return int(cast("bytes | None", self._client.hget(keys.audit_parts(audit_id, "evaluation"), "rows")) or 0)

    def read_sum(self, audit_id: str, rows: int, shape: Sequence[int]) -> NDArray[np.float64]:
        """The kept sum; raises DamagedChunk."""
        found = read_array(self._client, partial(keys.audit_sum, audit_id, rows), shape, "float64")
        return cast("NDArray[np.float64]", found)

    def delete_work(self, audit_id: str) -> None:
        """Remove parts and sums once the table stands."""
        for kind in ("parts", "sum"):
            self._delete_matching(keys.audit_pattern(audit_id)[:-1] + f"{kind}:*")

    def delete(self, audit_id: str) -> None:
        """Remove everything of an audit but its record."""
        self._delete_matching(keys.audit_pattern(audit_id))

    def _delete_matching(self, pattern: str) -> None:
        names = list(self._client.scan_iter(match=pattern, count=1000))
        for start in range(0, len(names), _DELETE_BATCH):
            self._client.unlink(*names[start : start + _DELETE_BATCH])

"""What groups keep in Redis beside their record: a mean score and a group number for every row."""

import numpy as np
import redis
from numpy.typing import NDArray

from influence.store import keys
from influence.store.data.chunks import DamagedChunk, read_array, write_array

_COLUMNS = {"scores": "float32", "groups": "int32"}


class GroupRows:
    """Columns (rows of the data set,) of finished groups: `scores` float32 with NaN where the index left a row out, and
    `groups` int32, places in the record's list, -1 for no group."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def write(self, groups_id: str, scores: NDArray[np.float32], groups: NDArray[np.int32]) -> None:
        """Keep both for as long as the record."""
        for name, values in (("scores", scores), ("groups", groups)):
            write_array(
                self._client,
                lambda piece, name=name: keys.group_rows(groups_id, name, piece),  # type: ignore[misc]
                values.astype(_COLUMNS[name], copy=False),
            )

    def read(self, groups_id: str, rows: int) -> tuple[NDArray[np.float32], NDArray[np.int32]] | None:
        """(scores, groups), or None when they are lost."""
        try:
            scores, groups = (
                read_array(
                    self._client,
                    lambda piece, name=name: keys.group_rows(groups_id, name, piece),  # type: ignore[misc]
                    (rows,),
                    dtype,
                )
                for name, dtype in _COLUMNS.items()
            )
        except DamagedChunk:
            return None
        return scores.astype(np.float32, copy=False), groups.astype(np.int32, copy=False)

    def delete(self, groups_id: str) -> None:
        """Remove both."""
        for name in _COLUMNS:
            piece = 0
            while self._client.unlink(keys.group_rows(groups_id, name, piece)):
                piece += 1

"""The rows that a compact index's encoder was fitted with, and the names of what such an index keeps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.compact.encoder import Projected

#: Groups of arrays that a compact index keeps beside its shards.
ENCODER, SAMPLE, MOMENTS = "encoder", "sample", "moments"
#: A grown index's: the old moments without the rows that left, until it is finished; and which rows came after the
#: basis was fitted, a bit a row of the data set.
OLD_MOMENTS, LATE = "old-moments", "late"
#: Row state of a grown index's shard: the row of the old data set that each of its rows was, or -1; int64.
SOURCE = "source"


def shard_moments(shard: int) -> str:
    """Group that holds a shard's moments until the index is finished."""
    return f"moments-{shard}"


@dataclass(frozen=True)
class Sample:
    """Rows whose gradients the plan computed: data set rows, their codes and norms, and losses, one entry a row."""

    rows: NDArray[np.int64]
    projected: Projected
    losses: NDArray[np.float32]

    def to_arrays(self, encoder_has: int = 0) -> dict[str, NDArray[Any]]:
        """Arrays to store; the encoder keeps the codes and norms of the first `encoder_has` rows itself."""
        return {
            "rows": self.rows,
            "codes": self.projected.codes[encoder_has:],
            "norms": self.projected.squared_norms[encoder_has:],
            "losses": self.losses,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], fitted: Projected) -> "Sample":
        """The sample that was stored; what it has no codes of is `fitted`, the encoder's own."""
        projected = Projected(arrays["codes"], arrays["norms"])
        if len(projected.codes) < len(arrays["rows"]):
            projected = Projected(
                np.concatenate([fitted.codes, projected.codes]),
                np.concatenate([fitted.squared_norms, projected.squared_norms]),
            )
        return cls(arrays["rows"], projected, arrays["losses"])

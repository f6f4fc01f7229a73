"""All scores of a query, kept apart from its record because they grow with the data set.

Of an index that workers share out what makes them is kept, and they are made when somebody asks.
"""

from dataclasses import dataclass, fields
from functools import partial
from typing import Any, cast

import numpy as np
import redis
from numpy.typing import NDArray

from influence.arrays import pack_arrays, unpack_arrays
from influence.store import keys
from influence.store.data.chunks import DamagedChunk, count_pieces, read_array, unpack, write_array


@dataclass(frozen=True, slots=True)
class Recipe:
    """Query vectors (m, P) of a method for the parts of a build, from rows to rows (parts, 2), and better influence
    (m, c) of the rows at some `positions` (c,)."""

    build_job_id: str
    bounds: NDArray[np.int64]
    method: str
    damping_scale: float | None
    vectors: NDArray[np.float32]
    positions: NDArray[np.int64]
    influence: NDArray[np.float32]

    def pack(self) -> NDArray[np.uint8]:
        """As bytes."""
        scale = np.nan if self.damping_scale is None else self.damping_scale
        held = {one.name: np.asarray(getattr(self, one.name)) for one in fields(self)}
        return pack_arrays({**held, "damping_scale": np.asarray(scale)})

    @classmethod
    def unpack(cls, packed: NDArray[np.uint8]) -> "Recipe":
        """Raises ValueError for bytes that are none."""
        held: dict[str, Any] = dict(unpack_arrays(packed))
        scale = float(held["damping_scale"])
        text = {name: str(held[name]) for name in ("build_job_id", "method")}
        return cls(**{**held, **text, "damping_scale": None if np.isnan(scale) else scale})


class QueryScores:
    """Influence (test points, rows) float32 of finished queries; negative is helpful."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def write(self, query_id: str, influence: NDArray[np.float32]) -> None:
        """Keep the scores for as long as the query's record."""
        write_array(
            self._client,
            lambda piece: keys.query_scores(query_id, piece),
            influence.astype(np.float32, copy=False),
        )

    def read(self, query_id: str, test_points: int, rows: int) -> NDArray[np.float32] | None:
        """The scores, or None when they are lost."""
        try:
            array = read_array(
                self._client, lambda piece: keys.query_scores(query_id, piece), (test_points, rows), "float32"
            )
        except DamagedChunk:
            return None
        return array.astype(np.float32, copy=False)

    def write_recipe(self, query_id: str, recipe: Recipe) -> None:
        """Keep what makes the scores in their place."""
        write_array(self._client, partial(keys.query_scores, query_id), recipe.pack())

    def read_recipe(self, query_id: str) -> Recipe | None:
        """What makes the scores; None where it is lost, or they are kept themselves."""
        names = partial(keys.query_scores, query_id)
        try:
            first = cast("bytes | None", self._client.get(names(0)))
            rest = range(1, count_pieces(first))
            packed = unpack([first, *(cast("bytes | None", self._client.get(names(number))) for number in rest)])
            return Recipe.unpack(packed.astype(np.uint8, copy=False)) if packed.ndim == 1 else None
        except (DamagedChunk, ValueError):
            return None

    def delete(self, query_id: str) -> None:
        """Remove the scores."""
        piece = 0
        while self._client.unlink(keys.query_scores(query_id, piece)):
            piece += 1

"""All scores of a query, kept apart from its record because they grow with the data set."""

import numpy as np
import redis
from numpy.typing import NDArray

from influence.store import keys
from influence.store.data.chunks import DamagedChunk, read_array, write_array


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

    def delete(self, query_id: str) -> None:
        """Remove the scores."""
        piece = 0
        while self._client.unlink(keys.query_scores(query_id, piece)):
            piece += 1

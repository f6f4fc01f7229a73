"""All scores of a query as JSON or Parquet."""

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.queries.gathered import gather_scores
from influence.contracts.query import Query
from influence.errors import Conflict, NotFound
from influence.store.store import Store


def find_scores(store: Store, query: Query) -> NDArray[np.float32]:
    """Influence (test points, rows of the data set) of a finished query, NaN for rows that are not in the index.

    Raises Conflict (not finished) and NotFound (their lifetime ended), and of an index that workers share out NoWorker
    and ShardMissing.
    """
    if query.results is None:
        raise Conflict(
            f"The query {query.id} has no scores: it is {query.state}.",
            hint=f"Wait for the job {query.job_id}." if query.state in ("queued", "running") else "Send it again.",
            extra={"job_id": query.job_id, "state": query.state},
        )
    index = store.indexes.find(query.index_id)
    rows = index.rows if index is not None else query.rows_scored or 0
    scores = store.scores.read(query.id, len(query.results), rows)
    if scores is None and (recipe := store.scores.read_recipe(query.id)) is not None:
        scores = gather_scores(store, query, recipe, rows)
    if scores is None:
        raise NotFound(
            f"The scores of {query.id} are no longer kept.", hint="Send the query again; scores live as long as it."
        )
    return scores


def stream_json(query_id: str, scores: NDArray[np.float32]) -> Iterator[str]:
    """`{query_id, rows, score, influence}`, by `QueryScores`, in pieces of one test point."""
    yield f'{{"query_id":{json.dumps(query_id)},"rows":{scores.shape[1]}'
    for name, values in (("score", -scores), ("influence", scores)):
        yield f',"{name}":['
        for number, row in enumerate(values):
            yield ("," if number else "") + json.dumps(_as_json(row), separators=(",", ":"), allow_nan=False)
        yield "]"
    yield "}"


def _as_json(row: NDArray[np.float32]) -> list[Any]:
    values: list[Any] = row.tolist()
    return values if np.isfinite(row).all() else [value if np.isfinite(value) else None for value in values]


def to_parquet(scores: NDArray[np.float32]) -> bytes:
    """Per test point a float32 column of scores and one of influence, one line per row of the data set."""
    # Loading pyarrow takes a quarter of the time in which the API has to be up.
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {f"score_{number}": pa.array(-row, from_pandas=False) for number, row in enumerate(scores)}
    columns |= {f"test_point_{number}": pa.array(row, from_pandas=False) for number, row in enumerate(scores)}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()

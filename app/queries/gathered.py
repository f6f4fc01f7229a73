"""All scores of a query on an index that workers share out: they are with the parts, and made when somebody asks."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.errors import NotFound, NoWorker, ShardMissing
from influence.store.data.chunks import DamagedChunk
from influence.store.data.scans import PartWork
from influence.store.data.scores import Recipe
from influence.store.passes import Asking, ask_parts
from influence.store.store import Store

#: Test points whose scores are asked of the parts at once.
_POINTS_AT_ONCE = 32
#: Without an answer of any part for so long the one who asks is told to come again.
_PATIENCE_SECONDS = 120.0


def gather_scores(store: Store, query: Query, recipe: Recipe, rows: int) -> NDArray[np.float32] | None:
    """Influence (test points, rows of the data set), NaN for rows that are not in the index; None where the index was
    built anew since.

    Raises NoWorker, ShardMissing.
    """
    index = store.indexes.find(query.index_id)
    if index is None or index.job_id != recipe.build_job_id:
        return None
    found = np.empty((len(recipe.vectors), int(recipe.bounds[-1, 1])), np.float32)
    for start in range(0, len(found), _POINTS_AT_ONCE):
        _fill(store, index, recipe, recipe.vectors[start : start + _POINTS_AT_ONCE], found[start:])
    found[:, recipe.positions] = recipe.influence
    if found.shape[1] == rows:
        return found
    spread = np.full((len(found), rows), np.nan, np.float32)
    spread[:, _read_row_indexes(store, index)] = found
    return spread


def _fill(store: Store, index: Index, recipe: Recipe, vectors: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    heard_at = time.monotonic()

    def check() -> None:
        if time.monotonic() - heard_at > _PATIENCE_SECONDS:
            raise ShardMissing("The workers that have the index do not answer.", hint="Ask again in a moment.")

    bounds = [(int(start), int(stop)) for start, stop in recipe.bounds]
    works = [_describe(index, recipe, vectors, part, *rows) for part, rows in enumerate(bounds)]
    asking = Asking(store, index.build, len(bounds), check=check, pause=lambda: None, here=_refuse)
    for part, scores in ask_parts(asking, vectors, works):
        found[: len(vectors), slice(*bounds[part])] = scores
        heard_at = time.monotonic()


def _describe(index: Index, recipe: Recipe, vectors: NDArray[np.float32], part: int, start: int, stop: int) -> PartWork:
    return PartWork(
        scan_id="",
        part=part,
        index_id=index.id,
        build_job_id=index.job_id,
        start=start,
        stop=stop,
        step="score",
        shape=vectors.shape,
        dtype="float32",
        method=recipe.method,
        damping_scale=recipe.damping_scale,
    )


def _refuse(_works: Sequence[PartWork]) -> None:
    raise NoWorker("No worker is running that has the parts of the index.")


def _read_row_indexes(store: Store, index: Index) -> NDArray[np.int64]:
    """Data set rows (n,) of an index. Raises NotFound where they are lost: a query makes them anew."""
    try:
        commits = store.index_data.require_commits(index.build, index.shards)
        rows = np.empty(sum(commit.rows for commit in commits), np.int64)
        start = 0
        for commit in commits:
            store.index_data.read_rows_into(index.build, commit.shard, "kept", rows[start : start + commit.rows])
            start += commit.rows
    except DamagedChunk as damage:
        raise NotFound(f"A part of {index.id} is lost.", hint="Send the query again.") from damage
    return rows

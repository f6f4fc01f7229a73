"""Test points as the service takes them: rows in the request, or rows of a stored data set."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from datainf_client.sources.ids import Named, id_of
from datainf_client.sources.rows import Json, iterate_rows

if TYPE_CHECKING:
    import pandas as pd

#: One row, several, a frame, or a stored data set.
Points: TypeAlias = "Mapping[str, Any] | Iterable[Mapping[str, Any]] | pd.DataFrame | Named"


def points_body(points: Points, row_indexes: Sequence[int] | None) -> Json:
    """`{examples: ...}` or `{rows: ...}`. `row_indexes` choose rows of a stored data set; all when left out."""
    if isinstance(points, str) or hasattr(points, "id"):
        return {"rows": selection(points, row_indexes)}
    if row_indexes is not None:
        raise TypeError("row_indexes choose rows of a stored data set")
    return {"examples": list(iterate_rows(points))}


def selection(dataset: Any, row_indexes: Sequence[int] | None) -> Json:
    """Rows of a stored data set."""
    chosen = {} if row_indexes is None else {"row_indexes": [int(row) for row in row_indexes]}
    return {"dataset_id": id_of(dataset), **chosen}

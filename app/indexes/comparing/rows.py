"""Rows of two data sets matched by what they say: which stayed, came, went, or carry another label now."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.curation.comparison import ChangedRow, RowChanges
from influence.digests import canonical_json
from influence.rows.file import RowFile

_SHOWN = 20
_NO_CONTENT = ("id", "metadata", "label")
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class RowMatch:
    """`kept` (n, 2): places in both of the rows that stayed; `relabelled` (r, 2) likewise; `removed` and `added` are
    places in the first and in the second. All are ascending."""

    kept: Rows
    relabelled: Rows
    removed: Rows
    added: Rows


def match_rows(before: RowFile, after: RowFile) -> RowMatch:
    """Rows of equal content are matched in their order, each once; then those that differ in their label alone."""
    kept, gone, come = _match_equal(_keys(before), _keys(after))
    places: dict[bytes, list[int]] = defaultdict(list)
    for place, row in zip(come.tolist(), after.read_many(come), strict=True):
        places[_unlabelled(row)].append(place)
    pairs: list[tuple[int, int]] = []
    for place, row in zip(gone.tolist(), before.read_many(gone), strict=True):
        found = places.get(_unlabelled(row))
        if found and "label" in row:
            pairs.append((place, found.pop(0)))
    relabelled = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return RowMatch(
        kept=kept,
        relabelled=relabelled,
        removed=np.setdiff1d(gone, relabelled[:, 0]),
        added=np.setdiff1d(come, relabelled[:, 1]),
    )


def describe_changes(match: RowMatch, before: RowFile, after: RowFile) -> RowChanges:
    """Counts, and the first rows of each change."""
    return RowChanges(
        before=len(before),
        after=len(after),
        kept=len(match.kept),
        removed_count=len(match.removed),
        added_count=len(match.added),
        relabelled_count=len(match.relabelled),
        removed=tuple(_shown(before, place) for place in match.removed[:_SHOWN].tolist()),
        added=tuple(_shown(after, place) for place in match.added[:_SHOWN].tolist()),
        relabelled=tuple(_shown_twice(before, after, *pair) for pair in match.relabelled[:_SHOWN].tolist()),
    )


def _keys(file: RowFile) -> NDArray[np.void]:
    """Hashes (n,) of contents as values that sort."""
    digests = np.ascontiguousarray(file.row_digests())
    return digests.view(np.dtype((np.void, digests.shape[1]))).ravel()


def _match_equal(left: NDArray[np.void], right: NDArray[np.void]) -> tuple[Rows, Rows, Rows]:
    """Places of equal keys in both (n, 2), the first with the first; then the places without a partner."""
    _, numbers = np.unique(np.concatenate([left, right]), return_inverse=True)
    one, two = _occurrences(numbers[: len(left)]), _occurrences(numbers[len(left) :])
    _, in_left, in_right = np.intersect1d(one, two, assume_unique=True, return_indices=True)
    kept = np.stack([in_left, in_right], axis=1)[np.argsort(in_left)].astype(np.int64)
    gone = np.setdiff1d(np.arange(len(left)), in_left)
    return kept, gone, np.setdiff1d(np.arange(len(right)), in_right)


def _occurrences(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each place (n,) as a number of its own, that says which value it is and the how manieth time."""
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], numbers[order])
    counts = np.empty(len(numbers), dtype=np.int64)
    counts[order] = np.arange(len(numbers)) - starts
    return numbers.astype(np.int64) * (1 << 31) + counts


def _unlabelled(row: Json) -> bytes:
    return canonical_json({name: value for name, value in row.items() if name not in _NO_CONTENT})


def _shown(file: RowFile, place: int, **more: Any) -> ChangedRow:
    (row,) = file.read_many([place])
    row.pop("metadata", None)
    row_id = str(row.pop("id"))
    return ChangedRow(row_index=place, row_id=row_id, row=row, label=row.get("label"), **more)


def _shown_twice(before: RowFile, after: RowFile, place: int, then: int) -> ChangedRow:
    (row,) = after.read_many([then])
    return _shown(before, place, to_row_index=then, to_label=row.get("label"))

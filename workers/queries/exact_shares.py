"""Each block's share of the influence of the rows that are shown."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from influence.contracts.query import QueryRequest
from workers.indexes.full import FullIndex
from workers.queries.influence import Influence
from workers.queries.opened import Parts
from workers.queries.rerank import Reranked
from workers.queries.test_points import take

Positions = NDArray[np.int64]
#: Position of a row to its shares by block.
Shares = dict[int, dict[str, float]]


def share_shown(
    parts: Parts, request: QueryRequest, influence: Influence, exact: Reranked | None, shown: Sequence[Positions]
) -> list[Shares]:
    """Shares of the rows shown for each test point. Codes do not tell blocks apart, gradients do: where a part keeps
    codes, only re-ranked rows have shares."""
    names = [block.name for block in parts.all[0].index.blocks]
    if parts.are_full:
        tables = _share_gradients(parts, request, influence, shown)
        return [_name(names, *found) for found in zip(shown, tables, strict=True)]
    if exact is None:
        return [{} for _ in shown]
    found = [positions[np.isin(positions, exact.positions)] for positions in shown]
    places = [np.searchsorted(exact.positions, positions) for positions in found]
    tables = [exact.shares[:, number, place] for number, place in enumerate(places)]
    return [_name(names, *each) for each in zip(found, tables, strict=True)]


def _share_gradients(
    parts: Parts, request: QueryRequest, influence: Influence, shown: Sequence[Positions]
) -> list[NDArray[np.float64]]:
    """Shares (blocks, r) of the shown rows of each test point, summed over parts of full storage."""
    tables = [np.zeros((len(parts.all[0].index.blocks), len(positions))) for positions in shown]
    for part in parts.all:
        opened = parts.open(part)
        hot = opened.hot
        assert isinstance(hot, FullIndex)
        prepared = hot.prepare(request.method, request.damping_scale)
        for number, positions in enumerate(shown):
            places = np.searchsorted(hot.row_indexes, influence.row_indexes[positions])
            test = take(opened.points.gradients, number, number + 1)
            tables[number] += part.weight * hot.share_blocks(prepared, test, places)[:, 0]
    return tables


def _name(names: Sequence[str], positions: Positions, table: NDArray[np.float64]) -> Shares:
    return {
        int(position): dict(zip(names, table[:, place].tolist(), strict=True))
        for place, position in enumerate(positions)
    }

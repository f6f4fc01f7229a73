"""Filters and sorted slices of an audit's rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from influence.auditing.selection import RowFilter
from influence.store.data.search.ordering import sort_slice

COLUMNS = {
    "label": np.array([0, 0, 1, 1, 2], np.int32),
    "predicted": np.array([0, 1, 1, 0, 2], np.int32),
    "suspicion": np.array([0.0, 0.75, 0.25, 1.0, 0.5], np.float32),
}


def test_conditions_hold_together() -> None:
    assert RowFilter().find(COLUMNS).tolist() == [0, 1, 2, 3, 4]
    assert RowFilter(label=1).find(COLUMNS).tolist() == [2, 3]
    assert RowFilter(predicted=0).find(COLUMNS).tolist() == [0, 3]
    assert RowFilter(disagree=True).find(COLUMNS).tolist() == [1, 3]
    assert RowFilter(disagree=False).find(COLUMNS).tolist() == [0, 2, 4]
    assert RowFilter(min_suspicion=0.75).find(COLUMNS).tolist() == [1, 3]
    assert RowFilter(label=0, disagree=True, min_suspicion=0.8).find(COLUMNS).tolist() == []


def test_a_filter_knows_the_columns_it_needs() -> None:
    assert RowFilter(min_suspicion=0.5).columns == set()
    assert RowFilter(disagree=False, label=0).columns == {"label", "predicted"}


@given(st.lists(st.integers(-3, 3), max_size=30), st.booleans(), st.integers(0, 35), st.integers(1, 10), st.data())
def test_a_slice_is_that_of_a_full_stable_sort(
    values: list[int], descending: bool, offset: int, length: int, data: st.DataObject
) -> None:
    chosen = sorted(data.draw(st.sets(st.sampled_from(range(len(values))))) if values else [])
    found = sort_slice(
        np.array(values, np.float32), np.array(chosen, np.int64), descending=descending, offset=offset, length=length
    )
    ordered = sorted(chosen, key=lambda row: (-values[row] if descending else values[row], row))
    assert found.tolist() == ordered[offset : offset + length]

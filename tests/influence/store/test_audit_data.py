"""What an audit keeps: parts written once, a sum that goes on, columns for as long as the record."""

import numpy as np
import pytest

from influence.store import keys
from influence.store.data.chunks import DamagedChunk
from influence.store.store import Store


def left(store: Store, audit_id: str) -> list[str]:
    return sorted(name.decode() for name in store.connections.state.scan_iter(match=keys.audit_pattern(audit_id)))


def test_a_part_that_comes_twice_is_kept_once(store: Store) -> None:
    data = store.audit_data
    data.commit_part("aud_a", "labels", 1, np.array([1.0, 2.0]))
    data.commit_part("aud_a", "labels", 1, np.array([9.0, 9.0]))
    assert data.missing_parts("aud_a", "labels", 3) == [0, 2]
    np.testing.assert_array_equal(data.read_part("aud_a", "labels", 1), [1.0, 2.0])


def test_a_damaged_part_is_missing_again(store: Store) -> None:
    store.audit_data.commit_part("aud_a", "labels", 0, np.array([1.0]))
    store.connections.state.hset(keys.audit_parts("aud_a", "labels"), "0", b"junk")
    for _ in range(2):
        with pytest.raises(DamagedChunk):
            store.audit_data.read_part("aud_a", "labels", 0)
        assert store.audit_data.missing_parts("aud_a", "labels", 1) == [0]


def test_a_sum_replaces_the_one_before(store: Store) -> None:
    data = store.audit_data
    assert data.sum_rows("aud_a") == 0
    for rows in (16, 32):
        data.write_sum("aud_a", rows, np.full(5, float(rows)))
    assert data.sum_rows("aud_a") == 32
    np.testing.assert_array_equal(data.read_sum("aud_a", 32, (5,)), np.full(5, 32.0))
    with pytest.raises(DamagedChunk):
        data.read_sum("aud_a", 16, (5,))


def test_columns_outlive_the_work_and_go_with_the_audit(store: Store) -> None:
    data = store.audit_data
    data.commit_part("aud_a", "labels", 0, np.array([1.0]))
    data.write_sum("aud_a", 16, np.zeros(3))
    columns = {"loss": np.arange(3, dtype=np.float32), "label": np.arange(3, dtype=np.int32)}
    data.write_columns("aud_a", columns)
    data.write_columns("aud_ab", columns)
    data.delete_work("aud_a")
    assert left(store, "aud_a") == [keys.audit_column("aud_a", name, 0) for name in ("label", "loss")]
    found = data.read_columns("aud_a", 3, {"loss": "float32", "label": "int32"})
    assert found is not None
    np.testing.assert_array_equal(found["label"], columns["label"])
    data.delete("aud_a")
    assert data.read_columns("aud_a", 3, {"loss": "float32"}) is None
    assert (left(store, "aud_a"), len(left(store, "aud_ab"))) == ([], 2)

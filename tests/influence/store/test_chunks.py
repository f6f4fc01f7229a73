"""Chunks come back as they went in, or not at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.store import keys
from influence.store.data.chunks import HEADER_BYTES, MAX_VALUE_BYTES, DamagedChunk, pack, unpack
from influence.store.store import Store


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.sampled_from(["float32", "float16", "int8", "int64"]))
def test_any_array_survives_packing(shape: list[int], dtype: str) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    again = unpack(pack(array))
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


def test_a_large_array_is_cut_below_four_mebibytes() -> None:
    array = np.random.default_rng(0).standard_normal((900, 3072)).astype(np.float32)
    pieces = pack(array)
    assert len(pieces) == 3
    assert max(map(len, pieces)) <= MAX_VALUE_BYTES
    np.testing.assert_array_equal(unpack(pieces), array)


@pytest.mark.parametrize("damage", ["flip", "cut", "lose", "swap", "foreign", "junk"])
def test_damage_is_found(damage: str) -> None:
    array = np.arange(3_000_000, dtype=np.float32)
    pieces: list[bytes | None] = list(pack(array))
    first = bytearray(pieces[0] or b"")
    if damage == "flip":
        first[HEADER_BYTES + 5] ^= 1
        pieces[0] = bytes(first)
    elif damage == "cut":
        pieces[0] = bytes(first[:-1])
    elif damage == "lose":
        pieces[1] = None
    elif damage == "swap":
        pieces[0], pieces[1] = pieces[1], pieces[0]
    elif damage == "foreign":
        pieces[1] = pack(np.arange(2_000_000, dtype=np.float32))[1]
    else:
        pieces[0] = b"junk"
    with pytest.raises(DamagedChunk):
        unpack(pieces)


def test_gradients_live_on_when_they_are_used(store: Store) -> None:
    array = np.ones((3, 7), dtype=np.float16)
    store.index_data.write_gradients("idx_a", 0, 2, array)
    name = keys.gradients("idx_a", 0, 2, 0)
    store.connections.cache.expire(name, 100)
    again = store.index_data.read_gradients("idx_a", 0, 2, (3, 7), "float16")
    np.testing.assert_array_equal(again, array)
    assert store.connections.cache.ttl(name) > 100


def test_a_chunk_of_another_shape_is_refused(store: Store) -> None:
    store.index_data.write_gradients("idx_a", 0, 2, np.ones((3, 7), dtype=np.float16))
    with pytest.raises(DamagedChunk):
        store.index_data.read_gradients("idx_a", 0, 2, (7, 3), "float16")


def test_deleting_an_index_leaves_no_key(store: Store) -> None:
    store.index_data.write_gradients("idx_a", 0, 0, np.ones((3, 7), dtype=np.float32))
    store.index_data.write_rows("idx_a", 11, "norms", np.ones((3, 2), dtype=np.float32))
    store.index_data.write_parts("idx_a", "basis", {"0": np.ones((3, 2), dtype=np.float32)})
    store.index_data.write_parts("idx_b", "basis", {"0": np.ones((3, 2), dtype=np.float32)})
    store.index_data.delete("idx_a")
    left = {name.decode() for name in store.connections.state.scan_iter()}
    assert left == {keys.index_state("idx_b", "basis.0", 0), keys.manifest("idx_b")}
    assert list(store.index_data.read_parts("idx_b", "basis")) == ["0"]

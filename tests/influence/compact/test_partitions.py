"""How an index's rows are cut into parts, and who keeps which."""

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from support.coded import code_rows, draw_problem

from influence.compact.arrays import Float32s
from influence.compact.coded_rows import MOMENT_ROWS, CodedRows
from influence.compact.partitions import assign_parts, cut_rows
from influence.compact.scan import scan_codes
from influence.contracts.index import CodeDtype
from influence.methods.registry import get_method

WORKERS = [f"worker-{number}" for number in range(6)]


@pytest.mark.parametrize(("rows", "part_bytes"), [(10, 1), (10, 300), (1_000_000, 64 << 20), (5_000_000, 256 << 20)])
def test_parts_cover_every_row_once_and_in_order(rows: int, part_bytes: int) -> None:
    parts = cut_rows(rows, 154.0, part_bytes)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert parts[0].start == 0
    assert parts[-1].stop == rows
    assert all(before.stop == after.start for before, after in pairwise(parts))


def test_large_parts_begin_where_steps_over_all_rows_do() -> None:
    parts = cut_rows(5_000_000, 154.0, 100 << 20)
    assert len(parts) > 2
    assert {part.start % MOMENT_ROWS for part in parts} == {0}


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_every_part_has_one_worker_and_workers_have_alike_many(workers: int) -> None:
    found = assign_parts("idx.job", 64, WORKERS[:workers])
    loads = Counter(found.values())
    assert sorted(found) == list(range(64))
    assert max(loads.values()) - min(loads.values()) <= 1


@pytest.mark.parametrize("before", [1, 2, 3, 5])
def test_a_worker_that_comes_takes_its_share_and_moves_nothing_else(before: int) -> None:
    old = assign_parts("idx.job", 64, WORKERS[:before])
    new = assign_parts("idx.job", 64, WORKERS[: before + 1], old)
    moved = [part for part in range(64) if old[part] != new[part]]
    assert {new[part] for part in moved} == {WORKERS[before]}
    assert len(moved) == 64 // (before + 1)


@pytest.mark.parametrize("before", [2, 3, 5])
def test_of_a_worker_that_goes_only_its_own_parts_move(before: int) -> None:
    old = assign_parts("idx.job", 64, WORKERS[:before])
    new = assign_parts("idx.job", 64, WORKERS[: before - 1], old)
    assert all(new[part] == old[part] for part in range(64) if old[part] != WORKERS[before - 1])
    loads = Counter(new.values())
    assert max(loads.values()) - min(loads.values()) <= 1


def test_everybody_finds_the_same_in_whatever_order_workers_are_named() -> None:
    assert assign_parts("a", 20, WORKERS) == assign_parts("a", 20, reversed(WORKERS))
    assert assign_parts("a", 20, WORKERS) != assign_parts("b", 20, WORKERS)


def test_what_was_kept_of_a_larger_index_or_by_the_dead_counts_for_nothing() -> None:
    found = assign_parts("a", 4, WORKERS[:2], {0: "gone", 9: WORKERS[0]})
    assert sorted(found) == [0, 1, 2, 3]
    assert set(found.values()) == set(WORKERS[:2])


@pytest.mark.parametrize("dtype", ["int8", "float16"])
def test_what_is_found_in_large_parts_is_what_is_found_in_all_rows_to_the_bit(dtype: CodeDtype) -> None:
    few = code_rows(draw_problem(1).train, rank=4, directions=8, dtype=dtype)
    whole = replace(few, codes=few.codes.take(np.resize(np.arange(len(few)), 2 * MOMENT_ROWS + 7000)))
    parts = [
        replace(whole, codes=whole.codes.take(slice(part.start, part.stop)))
        for part in cut_rows(len(whole), 1.0, MOMENT_ROWS)
    ]
    assert len(parts) == 3
    form = get_method("cosine", "compact").on_codes
    assert form is not None
    vectors = form.prepare(whole, 0.0).vectors(few.encoder.sample.take(np.arange(2)))
    found, expected = (
        [np.concatenate([one(rows) for rows in pieces], axis=-1) for one in (row_factors, partial(scan, vectors))]
        for pieces in (parts, [whole])
    )
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    total = np.zeros((whole.encoder.layout.width,) * 2)
    for rows in parts:
        total = rows.add_stored(total)
    assert np.array_equal(total / len(whole), whole.mean_stored)


def row_factors(rows: CodedRows) -> Float32s:
    form = get_method("cosine", "compact").on_codes
    assert form is not None
    factors = form.prepare(rows, 0.0).row_factors
    assert factors is not None
    return factors


def scan(vectors: Float32s, rows: CodedRows) -> Float32s:
    return scan_codes(rows.codes, vectors)

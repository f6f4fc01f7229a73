"""What a part tells of its rows: little, however many it has, and what was asked."""

import numpy as np

from influence.ranking.held import HeldScores
from influence.ranking.order import scores_of
from workers.indexes.partitions.looks import EVERYWHERE, Look, Seen
from workers.indexes.partitions.ranked import RankedRows


def see(influence: np.ndarray[tuple[int], np.dtype[np.float32]], look: Look) -> Seen:
    rows = RankedRows.of(influence)
    ends = rows.find_ends(look.ends)
    named = influence[None, look.positions]
    return Seen([rows.mark(look, 0)], [rows.held.sums], ends[None], influence[None, ends], named)


def test_what_is_asked_and_seen_comes_back_as_it_was() -> None:
    look = Look(np.ones((2, 3), np.float32), [[EVERYWHERE, (0.5, 0.5)], []], 7, 2, np.array([4, 5]))
    again = Look.unpack(look.pack())
    assert (again.intervals, again.marks, again.ends) == (look.intervals, 7, 2)
    np.testing.assert_array_equal(again.vectors, look.vectors)
    influence = np.array([3, -1, 3, 0, 2, -5], np.float32)
    seen = see(influence, Look(look.vectors[:1], [[EVERYWHERE]], 3, 2, np.array([4, 5])))
    found = Seen.unpack(seen.pack())
    assert found.sums == seen.sums
    assert found.positions.tolist() == [[5, 1, 0, 2]]  # in no order
    assert found.named.tolist() == [[2.0, -5.0]]
    for name in ("values", "below", "upto"):
        np.testing.assert_array_equal(getattr(found.marks[0], name), getattr(seen.marks[0], name))


def test_ties_at_the_edge_are_broken_by_row() -> None:
    rows = RankedRows.of(np.array([0, 1, 0, 1, 0, 1], np.float32))
    assert rows.find_ends(2).tolist() == [0, 2, 1, 3]
    assert rows.held.ascending.tolist() == HeldScores.of(scores_of(rows.influence)).ascending.tolist()


def test_an_answer_takes_as_many_bytes_for_a_hundred_times_as_many_rows() -> None:
    look = Look(np.ones((1, 3), np.float32), [[EVERYWHERE]], 100, 10, np.empty(0, np.int64))
    rng = np.random.default_rng(0)
    few, many = (len(see(rng.normal(size=rows).astype(np.float32), look).pack()) for rows in (2_000, 200_000))
    assert many < 1.1 * few

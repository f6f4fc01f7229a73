"""Small queries are worked on together; what takes memory takes turns."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from influence.contracts.common import now
from influence.contracts.index import Index, IndexSpec
from influence.contracts.query import QueryRequest
from influence.contracts.work import INDEX
from influence.errors import Cancelled
from workers.runtime.sharing.turns import Turns, is_small

EXAMPLE = {"text": "late parcel", "label": 0}


def make_index(rows: int, parameters: int, storage: Any = "compact") -> Index:
    spec = IndexSpec(checkpoint_id="ckpt_a", dataset_id="ds_a", storage=storage)
    return Index(**{**INDEX.begin("idx_a"), "created_at": now()}, spec=spec, rows=rows, parameters=parameters)


@pytest.mark.parametrize(
    ("rows", "parameters", "asked", "small"),
    [
        (1_000, 75_000, {}, True),
        (1_000_000, 75_000, {"exact": False}, True),
        (2_000_000, 75_000, {"exact": False}, False),
        (1_000, 75_000, {"k": 100}, False),
        (1_000, 75_000, {"k": 100, "exact": False}, True),
        (1_000, 40_000_000, {"exact": False}, False),
        (1_000, 100, {"include": ["blocks"]}, True),
        (1_000, 100, {"include": ["tokens"]}, False),
        (1_000, 100, {"include": ["levels"]}, False),
    ],
)
def test_a_query_is_small_by_what_it_holds(rows: int, parameters: int, asked: dict[str, Any], small: bool) -> None:
    assert is_small(QueryRequest(examples=[EXAMPLE], **asked), [make_index(rows, parameters)]) is small


def test_whole_data_sets_and_sums_are_not_small() -> None:
    index = make_index(10, 10)
    assert not is_small(QueryRequest(rows={"dataset_id": "ds_a"}), [index])
    assert not is_small(QueryRequest(examples=[EXAMPLE]), [index, index])
    chosen = {"dataset_id": "ds_a", "row_indexes": [1, 2]}
    assert is_small(QueryRequest(rows=chosen), [index])


def test_so_many_take_turns_at_once(wait_until: Callable[..., None]) -> None:
    turns, inside, looked = Turns(2), list[int](), list[int]()
    leave = threading.Event()

    def work(number: int) -> None:
        with turns.take(lambda: looked.append(number)):
            inside.append(number)
            leave.wait()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: looked and len(inside) == 2, "two are inside and one looks whether it is still wanted")
    assert {*inside, looked[0]} == {0, 1, 2}
    leave.set()
    for thread in threads:
        thread.join()
    assert sorted(inside) == [0, 1, 2]


def test_who_is_not_wanted_any_more_waits_no_longer() -> None:
    turns = Turns(1)

    def refuse() -> None:
        raise Cancelled("The job is over.")

    with turns.take(refuse), pytest.raises(Cancelled):
        turns.take(refuse).__enter__()
    with turns.take(refuse):
        pass

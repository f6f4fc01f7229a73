"""Rows found by an engine are those that a plain reading of the conditions finds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from influence.contracts.common import now
from influence.contracts.curation.conditions import Condition, RowSearch
from influence.contracts.dataset import Dataset
from influence.errors import InvalidRequest
from influence.rows.file import write_rows
from influence.store.data.files import Files
from influence.store.data.search.building import open_table
from influence.store.data.search.ordering import rank_slice
from influence.store.data.search.table import RowTable
from influence.store.data.search.tables import RowTables

NAMES = ("billing", "access")
DAYS = ["2026-01-02", "2026-01-02T12:00:00+02:00", "2026-03-04T00:00:00Z", "2026-02-31", None]
#: Every column lacks a value somewhere.
HELD: list[dict[str, Any]] = [
    {
        name: value
        for name, value in {
            "source": ["web", "Mail", "crawl", None][at % 4],
            "price": [1, 2.5, -3, None, 1e300][at % 5],
            "vip": [True, False, None][at % 3],
            "day": DAYS[at % 5],
            "mixed": [1, "one", ["a", {"b": 1}], None][at % 4],
            "label": f"own {at % 2}",
        }.items()
        if value is not None
    }
    for at in range(60)
]
TEXTS = [f"Refund {'STRASSE' if at % 3 else 'straße'} number {at}" for at in range(60)]
ROWS = [
    {"id": f"r{at}", "text": text, "label": at % 2, "metadata": held}
    for at, (text, held) in enumerate(zip(TEXTS, HELD, strict=True))
]
KINDS = {"source": "string", "price": "number", "vip": "boolean", "day": "time", "mixed": "json", "label": "string"}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def dataset(files: Files) -> Dataset:
    write_rows(files.dataset("ds_1"), ROWS)
    return Dataset(
        id="ds_1",
        kind="classification",
        columns={"text": "text", "label": "label"},
        metadata_columns=KINDS,
        rows=len(ROWS),
        bytes=1,
        label_names=NAMES,
        statistics={},
        created_at=now(),
    )


@pytest.fixture
def table(files: Files, dataset: Dataset) -> RowTable:
    return RowTables(files).open(dataset)


def find(table: RowTable, column: str, op: str, value: Any = None, q: str | None = None) -> Any:
    condition = Condition.model_validate({"column": column, "op": op, "value": value})
    return table.find(RowSearch(where=(condition,), q=q)).tolist()


def where(holds: Callable[[dict[str, Any]], Any]) -> list[int]:
    return [at for at, held in enumerate(HELD) if holds(held)]


@pytest.mark.parametrize(
    ("column", "op", "value", "holds"),
    [
        ("source", "eq", "web", lambda held: held.get("source") == "web"),
        ("source", "ne", "web", lambda held: held.get("source") != "web"),
        ("source", "in", ["web", "crawl"], lambda held: held.get("source") in ("web", "crawl")),
        ("source", "contains", "MAI", lambda held: held.get("source") == "Mail"),
        ("source", "gt", "crawl", lambda held: held.get("source", "") > "crawl"),
        ("source", "is_null", None, lambda held: "source" not in held),
        ("source", "is_null", False, lambda held: "source" in held),
        ("price", "gt", 1, lambda held: held.get("price", 0) > 1),
        ("price", "lt", 1.5, lambda held: held.get("price", 9) < 1.5),
        ("price", "in", [1, -3], lambda held: held.get("price") in (1, -3)),
        ("vip", "eq", False, lambda held: held.get("vip") is False),
        ("vip", "ne", True, lambda held: held.get("vip") is not True),
        ("day", "eq", "2026-01-02", lambda held: held.get("day") == DAYS[0]),
        ("day", "eq", "2026-01-02T10:00:00Z", lambda held: held.get("day") == DAYS[1]),
        ("day", "gt", "2026-01-02T00:00:01", lambda held: held.get("day") in DAYS[1:3]),
        ("mixed", "eq", 1, lambda held: held.get("mixed") == 1),
        ("mixed", "contains", '"b"', lambda held: isinstance(held.get("mixed"), list)),
        ("metadata.label", "eq", "own 1", lambda held: held["label"] == "own 1"),
    ],
)
def test_conditions_hold_where_a_plain_reading_says_so(
    table: RowTable, column: str, op: str, value: Any, holds: Callable[[dict[str, Any]], bool]
) -> None:
    assert find(table, column, op, value) == where(holds)


def test_a_class_goes_by_its_name_and_a_name_of_metadata_by_its_prefix(table: RowTable) -> None:
    assert find(table, "label", "eq", "access") == list(range(1, 60, 2))
    assert find(table, "row_id", "in", ["r3", "r5"]) == [3, 5]


def test_words_are_found_whatever_their_case_and_order(table: RowTable) -> None:
    assert table.find(RowSearch(q="NUMBER refund")).tolist() == list(range(60))
    assert table.find(RowSearch(q="strasse")).tolist() == list(range(60))
    assert table.find(RowSearch(q='"number 7"')).tolist() == [7]
    assert find(table, "source", "eq", "web", q="7") == [at for at in range(0, 60, 4) if "7" in str(at)]


@pytest.mark.parametrize(
    ("column", "op", "value", "message"),
    [
        ("nothing", "eq", 1, "no column"),
        ("price", "contains", "1", "type number"),
        ("vip", "gt", True, "type boolean"),
        ("price", "eq", "much", "no value of the column"),
        ("day", "lt", "yesterday", "no value of the column"),
        ("source", "eq", True, "no value of the column"),
    ],
)
def test_what_a_column_cannot_be_asked_is_refused_by_name(
    table: RowTable, column: str, op: str, value: Any, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        find(table, column, op, value)


def test_texts_that_look_like_a_program_are_texts(table: RowTable) -> None:
    for text in ("' or 1=1 --", '"; drop table rows; --', "%", "_", "\\"):
        assert find(table, "source", "eq", text) == []
        assert table.find(RowSearch(q=text)).tolist() == []


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("column", ["source", "price", "vip", "day"])
def test_pages_in_order_show_every_row_once_and_those_without_a_value_last(
    table: RowTable, column: str, descending: bool
) -> None:
    positions, ranks = np.arange(60), table.ranks(column)
    pages = [rank_slice(ranks, positions, descending=descending, offset=at, length=7) for at in range(0, 60, 7)]
    shown = np.concatenate(pages).tolist()

    known = [at for at in range(60) if ranks[at]]
    if column == "day":
        assert all(ranks[at] == 0 for at in range(60) if HELD[at].get("day") == "2026-02-31")
        assert [ranks[at] for at in (0, 1, 2)] == [1, 2, 3]
    else:
        values = [HELD[at][column] for at in shown[: len(known)]]
        assert values == sorted(values, reverse=descending)
    assert shown[len(known) :] == [at for at in range(60) if not ranks[at]]
    assert sorted(shown) == list(range(60))


def test_a_table_that_is_gone_or_damaged_is_made_again(files: Files, dataset: Dataset) -> None:
    open_table(files, dataset)
    (made,) = files.dataset(dataset.id).glob("*.arrow")
    for damage in (b"", b"ARROW1 no more"):
        made.write_bytes(damage)
        assert find(RowTables(files).open(dataset), "source", "eq", "web") == list(range(0, 60, 4))
    other = dataset.model_copy(update={"metadata_columns": {"source": "string"}})
    columns, found = open_table(files, other)
    assert isinstance(found, pa.Table)
    assert list(columns.metadata) == ["source"]


def test_values_are_counted_by_what_they_are(table: RowTable) -> None:
    assert table.count_values("label", np.arange(9)) == {"billing": 5, "access": 4}
    assert table.count_values("price", np.array([0, 5, 2])) == {"1": 2, "-3": 1}
    assert table.count_values("nothing", np.arange(3)) is None


def test_a_condition_is_sound_or_refused() -> None:
    for unsound in (
        {"column": "a", "op": "in", "value": "x"},
        {"column": "a", "op": "in", "value": []},
        {"column": "a", "op": "eq", "value": ["x"]},
        {"column": "a", "op": "eq"},
        {"column": "a", "op": "is_null", "value": 1.5},
        {"column": "a", "op": "contains", "value": 3},
        {"column": "a", "op": "like", "value": "x"},
    ):
        with pytest.raises(ValueError, match=r"takes|needs|Input"):
            Condition.model_validate(unsound)
    assert json.loads(Condition(column="a", op="in", value=(1, "x", True)).model_dump_json())["value"] == [1, "x", True]

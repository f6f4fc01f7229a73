"""Columns without a role: typed, bounded, kept beside the rows."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from influence.rows.findings import Findings
from influence.rows.metadata import MAX_METADATA_CHARACTERS, MetadataReader, TextTypes


def read(rows: list[dict[str, Any]], **options: Any) -> tuple[list[dict[str, Any]], dict[str, str], Findings]:
    findings = Findings()
    reader = MetadataReader({"text"}, findings, **options)
    return [reader.read(place, row) for place, row in enumerate(rows)], dict(reader.columns()), findings


@pytest.mark.parametrize(
    ("value", "kept", "kind"),
    [
        ("web", "web", "string"),
        (3, 3, "number"),
        (0.5, 0.5, "number"),
        (True, True, "boolean"),
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z", "time"),
        (datetime(2024, 5, 1, tzinfo=UTC), "2024-05-01T00:00:00+00:00", "time"),
        (date(2024, 5, 1), "2024-05-01", "time"),
        (Decimal("1.10"), "1.10", "string"),
        ({"a": [1, None]}, {"a": [1, None]}, "json"),
    ],
)
def test_a_value_keeps_its_type(value: Any, kept: Any, kind: str) -> None:
    (row,), columns, _ = read([{"text": "t", "x": value}])
    assert (row, columns) == ({"x": kept}, {"x": kind})


def test_what_says_nothing_is_left_out() -> None:
    rows, columns, findings = read([{"x": None, "y": float("nan")}, {"text": "t"}])
    assert (rows, columns, findings.problems()) == ([{}, {}], {}, ())


def test_a_column_of_several_types_is_json() -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": "x", "c": ""}, {"a": "1", "b": "2024-05-01", "c": "2024-05-01"}]
    assert read(rows)[1] == {"a": "json", "b": "string", "c": "time"}


def test_texts_of_csv_take_the_type_that_all_of_them_have() -> None:
    rows = [
        {"n": "1", "x": "0.14285714285714285", "b": "True", "t": "2024-01-02", "zip": "01234", "mixed": "1"},
        {"n": "", "x": "2", "b": "false", "t": "2024-01-02 10:00", "zip": "99999", "mixed": "a"},
    ]
    types = TextTypes()
    for row in rows:
        types.add(row)
    kept, columns, _ = read(rows, text_types=types.found())
    assert kept[0] == {"n": 1, "x": 1 / 7, "b": True, "t": "2024-01-02", "zip": "01234", "mixed": "1"}
    assert "n" not in kept[1]
    assert columns == {"n": "number", "x": "number", "b": "boolean", "t": "time", "zip": "string", "mixed": "string"}


def test_texts_that_a_float_would_shorten_stay_texts() -> None:
    types = TextTypes()
    types.add({"a": "0.12345678901234567890", "b": "1e-05", "c": "12345678901234567"})
    assert types.found() == {"b": "number", "c": "number"}


LARGE = ["x" * 70_000, [[[]]] * 30_000]


@pytest.mark.parametrize("value", [b"bytes", {"a": b"bytes"}, "\ud800", "a\0", float("inf"), *LARGE])
def test_what_cannot_be_kept_is_named(value: Any) -> None:
    (row,), _, findings = read([{"bad": value, "good": 1}])
    assert row == {"good": 1}
    problems = {problem.code: problem for problem in findings.problems()}
    assert problems["metadata_not_kept"].names == ("bad",)
    assert problems["columns_not_read"].names == ("good",)


def test_the_metadata_of_a_row_is_bounded() -> None:
    half = "x" * (MAX_METADATA_CHARACTERS // 2)
    (row,), _, findings = read([{"a": half, "b": half, "c": 1}])
    assert row.keys() == {"a", "c"}
    assert findings.problems()[-1].names == ("b",)


def test_columns_whose_names_cannot_be_written_are_named_as_they_can_be() -> None:
    (row,), _, findings = read([{"": 1, "a\0b": 2, "\ud800": 3, "x" * 300: 4}])
    assert row == {}
    (problem,) = findings.problems()
    assert problem.names == ("(no name)", "a\\0b", "\\ud800", "x" * 200)
    assert problem.message.encode()

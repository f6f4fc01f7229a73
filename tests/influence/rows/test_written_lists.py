"""Lists that tables without types hold as text, as JSON, Python and NumPy write them."""

from typing import Any

import pytest

from influence.rows.columns import choose_columns
from influence.rows.label_forms.written_lists import read_list
from influence.rows.normalise import normalise_rows
from influence.rows.values import kind_of_value


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ("""['it\\'s', "don't", 'say "so"']""", ["it's", "don't", 'say "so"']),
        ("['a' 'b']", ["a", "b"]),
        ("[1 0 1]", [1, 0, 1]),
        ("[ 0. 1.]", [0.0, 1.0]),
        ("[1 0\n 1]", [1, 0, 1]),
        ("[0.5, -1e3, None]", [0.5, -1000.0, None]),
        ("[True, False]", [True, False]),
        (" ['a'] ", ["a"]),
        ("[]", []),
        ("['a', 'b'", None),
        ("['a' 'b', 'c']", None),
        ("['a'b']", None),
        ("[1 0 ... 1]", None),
        ("[a, b]", None),
        ("[__import__('os')]", None),
        ("{'a': 1}", None),
        ("[['a'], ['b']]", None),
        ("[" + "1, " * 200_000 + "1]", [1] * 200_001),
        ("['" + "a" * 100_000, None),
    ],
)
def test_a_flat_list_is_read_as_it_was_printed(text: str, items: list[Any] | None) -> None:
    assert read_list(text) == items


def rows_of(columns: list[str], cells: list[str], **wanted: str) -> list[dict[str, Any]]:
    row = dict(zip(columns, cells, strict=True))
    types = {name: frozenset({kind_of_value(value)}) for name, value in row.items()}
    chosen = choose_columns(columns, wanted or None, types=types)
    return [*normalise_rows([row], chosen, text_types=dict.fromkeys(columns, "string"))]


@pytest.mark.parametrize(
    ("columns", "cells", "wanted", "found"),
    [
        (["text", "labels"], ["x", "['b', 'a']"], {"text": "text", "labels": "labels"}, ["a", "b"]),
        (["text", "labels"], ["x", "[1. 0. 1.]"], {"text": "text", "label_vector": "labels"}, [0, 2]),
        (["tokens", "tags"], ["['My', 'parcel']", "['O', 'B-X']"], {}, ["O", "B-X"]),
        (["tokens", "tags"], ["['My', 'parcel']", "[0 -100]"], {}, [0, None]),
        (["text", "score"], ["x", "[0.5, 1]"], {"text": "text", "score": "score"}, [0.5, 1.0]),
    ],
)
def test_labels_of_csv_are_lists_however_pandas_wrote_them(
    columns: list[str], cells: list[str], wanted: dict[str, str], found: list[Any]
) -> None:
    (row,) = rows_of(columns, cells, **wanted)
    assert row["label"] == found

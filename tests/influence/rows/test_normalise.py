"""Rows in normal form: kept as they are or refused by number, never mended."""

from typing import Any

import pytest

from influence.errors import (
    BrokenRow,
    ColumnsUnmatched,
    DatainfError,
    InvalidRequest,
    LabelOutOfRange,
    LabelUnknown,
    RowsRefused,
)
from influence.rows.columns import choose_columns
from influence.rows.examples import normalise_examples
from influence.rows.labels import LabelBook
from influence.rows.normalise import NormalisedRows, normalise_rows
from influence.rows.values import kind_of_value


def normalised(rows: list[dict[str, Any]], wanted: dict[str, str] | None = None, **options: Any) -> NormalisedRows:
    seen = list(dict.fromkeys(name for row in rows for name in row))
    types = {name: frozenset(kind_of_value(row[name]) for row in rows if name in row) for name in seen}
    return normalise_rows(rows, choose_columns(seen, wanted, types=types), **options)


def test_rows_keep_their_order_ids_and_labels() -> None:
    rows = [{"uid": 7, "sentence": "b", "label": 1}, {"uid": "x", "sentence": "a", "label": 0}]
    assert list(normalised(rows)) == [{"id": "7", "text": "b", "label": 1}, {"id": "x", "text": "a", "label": 0}]


def test_rows_without_ids_are_numbered() -> None:
    assert [row["id"] for row in normalised([{"text": "a"}, {"text": "b"}])] == ["row-00000000", "row-00000001"]


@pytest.mark.parametrize(("given", "kept"), [(3, 3), (True, 1), (2.0, 2), ("spam", "spam"), ("3", "3")])
def test_labels_are_kept_as_numbers_or_names(given: Any, kept: int | str) -> None:
    (row,) = normalised([{"text": "a", "label": given}])
    assert row["label"] == kept
    assert type(row["label"]) is type(kept)


@pytest.mark.parametrize(
    ("given", "kept"), [("3", 3), ("3.0", 3), ("spam", "spam"), (" 3 ", 3), ("True", 1), ("false", 0), ("١", "١")]
)
def test_class_numbers_of_an_untyped_source_become_ints(given: str, kept: int | str) -> None:
    (row,) = normalised([{"text": "a", "label": given}], text_types={})
    assert row["label"] == kept


BROKEN = [
    {"text": "a", "label": 2.5},
    {"text": "a", "label": float("inf")},
    {"text": "a", "label": 10**400},
    {"text": "a", "label": "x" * 2000},
    {"text": None, "label": 1},
    {"text": 5, "label": 1},
    {"text": ["a"], "label": 1},
    {"text": 10**5000, "label": 1},
    {"text": "\ud800", "label": 1},
    {"text": "a\0b", "label": 1},
    {"id": None, "text": "a", "label": 1},
    {"id": " ", "text": "a", "label": 1},
    {"id": 1.5, "text": "a", "label": 1},
    {"id": 10**5000, "text": "a", "label": 1},
    {"id": "\udfff", "text": "a", "label": 1},
    {"text": "a", "label": "b\0"},
]


@pytest.mark.parametrize("row", BROKEN, ids=range(len(BROKEN)))
def test_a_value_that_fits_no_role_names_its_row(row: dict[str, Any]) -> None:
    good = {"text": "fine", "label": 0, **({"id": "first"} if "id" in row else {})}
    with pytest.raises(BrokenRow, match=r"^Row 1: column ") as caught:
        list(normalised([good, row]))
    assert caught.value.extra["row_index"] == 1
    assert caught.value.hint != BrokenRow.default_hint
    assert caught.value.detail.encode()


def test_rows_without_a_label_are_all_named() -> None:
    rows = [{"text": "a", "label": None if place % 2 else 1} for place in range(7)]
    with pytest.raises(RowsRefused) as caught:
        list(normalised(rows))
    assert caught.value.extra["row_indexes"] == [1, 3, 5]


def test_an_empty_field_of_a_csv_is_a_missing_label() -> None:
    with pytest.raises(RowsRefused, match="no label in"):
        list(normalised([{"text": "a", "label": ""}], text_types={}))


def test_repeated_ids_are_refused_by_row() -> None:
    rows = [{"id": name, "text": "t"} for name in ("a", "b", "a", 5, "5")]
    with pytest.raises(RowsRefused) as caught:
        list(normalised(rows))
    assert caught.value.extra == {"row_indexes": [2, 4], "count": 2}
    assert '"id": ""' in caught.value.hint
    assert len(list(normalised(rows, {"id": ""}))) == 5


def test_numbers_and_names_are_not_mixed() -> None:
    with pytest.raises(RowsRefused, match="Row 1"):
        list(normalised([{"text": "a", "label": 1}, {"text": "b", "label": "one"}]))


@pytest.mark.parametrize(
    ("label", "error", "code"),
    [
        (2, LabelOutOfRange, "label_out_of_range"),
        (-1, LabelOutOfRange, "label_out_of_range"),
        ("c", LabelUnknown, "label_unknown"),
    ],
)
def test_labels_outside_the_names_given_are_refused(label: Any, error: type[DatainfError], code: str) -> None:
    with pytest.raises(error, match="Row 0") as caught:
        list(normalised([{"text": "a", "label": label}], label_names=["a", "b"]))
    assert caught.value.code == code
    assert caught.value.extra["row_index"] == 0


@pytest.mark.parametrize("names", [None, ["a", "b"]])
def test_minus_one_is_no_class(names: list[str] | None) -> None:
    with pytest.raises(LabelOutOfRange, match="-1") as caught:
        list(normalised([{"text": "a", "label": -1}], label_names=names))
    assert "drop these rows" in str(caught.value.hint)


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a", ""], ["\ud800"]])
def test_label_names_must_be_names(names: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        LabelBook(names)


@pytest.mark.parametrize(
    ("pairs", "names"),
    [
        ([(1, "spam"), (0, "ham"), (1, "spam")], ("ham", "spam")),
        ([(0, "ham"), (0, "spam")], None),
        ([(0, "ham"), (1, "ham")], None),
        ([(0, "ham"), (2, "spam")], None),
        ([(0, None), (1, "spam")], None),
    ],
)
def test_label_names_are_learnt_when_one_to_one(pairs: list[tuple[int, str]], names: tuple[str, ...] | None) -> None:
    rows = normalised([{"text": "t", "label": label, "label_text": name} for label, name in pairs])
    list(rows)
    assert rows.label_names == names


def test_sharegpt_and_chat_messages_become_the_same() -> None:
    chat = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    shared = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
    (first,), (second,) = list(normalised([chat])), list(normalised([shared]))
    assert first == second == {"id": "row-00000000", **chat}


CALL = {"type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": None}}}


def test_tool_calls_keep_the_nulls_that_were_written() -> None:
    rows = [{"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL], "name": None}]}]
    (row,) = normalised(rows)
    assert row["messages"] == [{"role": "assistant", "content": None, "tool_calls": [CALL]}]


def test_nulls_that_a_format_fills_in_are_dropped() -> None:
    rows = [{"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL], "name": None}]}]
    (row,) = normalised(rows, filled=True)
    kept = {"type": "function", "function": {"name": "f", "arguments": {"b": 1}}}
    assert row["messages"] == [{"role": "assistant", "tool_calls": [kept]}]


def test_messages_may_be_a_json_string_or_text_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    (row,) = normalised([{"messages": '[{"role": "user", "content": "x"}]'}])
    assert row["messages"] == [{"role": "user", "content": "x"}]
    (row,) = normalised([{"messages": [{"role": "user", "content": parts}]}])
    assert row["messages"] == [{"role": "user", "content": "ab", "content_parts": ["a", "b"]}]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "messages",
    [
        [],
        None,
        "hello",
        "[" * 100_000,
        [1],
        [{"role": "wizard", "content": "x"}],
        [{"content": "x"}],
        [{"role": "user"}],
        [{"role": "user", "content": [{"type": "image"}]}],
        [{"role": "user", "content": "x", "tool_calls": [float("nan")]}],
        [{"role": "user", "content": "x", "tool_calls": nested(500)}],
        [{"role": "user", "content": "x", "tool_calls": ["\ud800"]}],
        [{"role": 5, "content": "x"}],
    ],
)
def test_messages_that_are_none_are_refused(messages: Any) -> None:
    with pytest.raises(BrokenRow, match="Row 0"):
        list(normalised([{"messages": messages}]))


def test_alpaca_triples_take_the_standard_prompts() -> None:
    rows = [
        {"instruction": "Add {input}.", "input": "1 + {}", "output": "2"},
        {"instruction": "Greet.", "input": "", "output": "Hi"},
    ]
    first, second = normalised(rows)
    assert "### Instruction:\nAdd {input}.\n\n### Input:\n1 + {}\n\n### Response:\n" in first["prompt"]
    assert first["completion"] == "2"
    assert second["prompt"].endswith("### Instruction:\nGreet.\n\n### Response:\n")
    assert "### Input" not in second["prompt"]


def test_examples_go_by_roles_or_by_the_columns_of_the_data_set() -> None:
    columns = {"text": "body", "label": "y", "id": "uid"}
    examples: list[dict[str, Any]] = [
        {"text": "a", "label": "x"},
        {"body": "b", "y": "z", "uid": 3, "other": None},
        {"text": "c"},
    ]
    assert normalise_examples(examples, "classification", columns) == [
        {"id": "example-0", "text": "a", "label": "x"},
        {"id": "3", "text": "b", "label": "z"},
        {"id": "example-2", "text": "c", "label": None},
    ]


def test_examples_of_every_kind_are_normalised() -> None:
    completion = normalise_examples(
        [{"instruction": "i", "output": "o"}, {"prompt": "p", "completion": "c"}], "completion"
    )
    assert [row["completion"] for row in completion] == ["o", "c"]
    (row,) = normalise_examples([{"conversations": [{"from": "human", "value": "q"}]}], "conversation")
    assert row["messages"] == [{"role": "user", "content": "q"}]
    assert normalise_examples([{"text": "t"}], "text") == [{"id": "example-0", "text": "t"}]
    (row,) = normalise_examples([{"text": "a", "text_pair": "b"}], "classification")
    assert row == {"id": "example-0", "text": "a", "text_pair": "b", "label": None}


@pytest.mark.parametrize(
    ("example", "kind", "error"),
    [
        ({"prompt": "p"}, "completion", ColumnsUnmatched),
        ({}, "text", ColumnsUnmatched),
        ({"txt": "a"}, "classification", ColumnsUnmatched),
        ({"text": 5}, "classification", BrokenRow),
        ({"text": "a", "label": 9}, "classification", LabelOutOfRange),
        ({"text": "a", "label": "c"}, "classification", LabelUnknown),
        ("text", "text", BrokenRow),
    ],
)
def test_a_bad_example_is_named_by_its_place(example: Any, kind: Any, error: type[DatainfError]) -> None:
    good = {"text": "a", "prompt": "p", "completion": "c"}
    with pytest.raises(error, match="Example 1") as caught:
        normalise_examples([good, example], kind, label_names=["a", "b"])
    assert caught.value.extra["example_index"] == 1
    assert caught.value.hint


def test_a_named_class_is_kept_as_its_name() -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "a", "completion": "b", "group": "up"},
        {"prompt": "c", "completion": "d", "group": 3},
    ]
    kept = list(normalised(rows, {"class": "group"}))
    assert [row["class"] for row in kept] == ["up", "3"]
    assert kept[0] == {"id": "row-00000000", "prompt": "a", "completion": "b", "class": "up"}


@pytest.mark.parametrize("missing", [None, " ", float("nan")])
def test_a_row_without_its_class_is_named(missing: Any) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "a", "completion": "b", "group": "up"},
        {"prompt": "c", "completion": "d", "group": missing},
    ]
    with pytest.raises(BrokenRow, match="Row 1: column 'group' holds nothing") as caught:
        list(normalised(rows, {"class": "group"}))
    assert caught.value.extra["row_index"] == 1


@pytest.mark.parametrize(
    "row", [{"instruction": "i", "input": "x", "output": "o"}, {"instruction": "i", "output": "o"}]
)
def test_prompts_that_are_made_by_a_recipe_are_said(row: dict[str, Any]) -> None:
    rows = normalised([row])
    list(rows)
    (made,) = rows.problems
    assert (made.code, made.names) == ("prompts_made", tuple(name for name in row if name != "output"))
    plain = normalised([{"prompt": "p", "completion": "c"}])
    list(plain)
    assert plain.problems == ()

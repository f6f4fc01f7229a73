"""Tables that are no rows: told as what they are, and no mapping that makes wrong rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.intake.datasets import accept_dataset
from app.intake.tables.limits import TableLimits
from influence.contracts.dataset import Dataset
from influence.errors import DatainfError

LIMITS = TableLimits(max_bytes=1 << 20)
TALK = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def accept(path: Path, content: str, name: str, **options: Any) -> Dataset:
    (path / name).write_text(content)
    (path / "kept").mkdir(exist_ok=True)
    return accept_dataset(path / name, limits=LIMITS, destination_root=path / "kept", **options)


def refused(path: Path, content: str, name: str = "a.json") -> DatainfError:
    with pytest.raises(DatainfError) as caught:
        accept(path, content, name)
    return caught.value


COLUMN_WISE = {
    "split": {"columns": ["text", "label"], "index": [0, 1], "data": [["a", 1], ["b", 0]]},
    "table": {"schema": {"fields": []}, "data": [{"text": "a", "label": 1}]},
    "columns": {"text": {"0": "a", "1": "b"}, "label": {"0": 1, "1": 0}},
    "index": {"0": {"text": "a", "label": 1}, "1": {"text": "b", "label": 0}},
    "list": {"text": ["a", "b"], "label": [1, 0]},
    "one list": {"text": ["a", "b"]},
}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("value", COLUMN_WISE.values(), ids=COLUMN_WISE)
def test_objects_that_hold_columns_are_told_to_be_turned(tmp_path: Path, value: Any, indent: int | None) -> None:
    error = refused(tmp_path, json.dumps(value, indent=indent))
    assert error.code == "unreadable_file"
    assert "columns, not rows" in error.detail
    assert 'orient="records"' in error.hint


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["data", "rows", "train", "instances"])
def test_rows_under_a_field_are_found(tmp_path: Path, name: str, indent: int | None) -> None:
    error = refused(tmp_path, json.dumps({"version": "1", name: [{"text": "a", "label": 1}]}, indent=indent))
    assert f"under '{name}'" in error.detail
    assert f"content['{name}']" in error.hint


@pytest.mark.parametrize(
    "row",
    [
        {"messages": TALK},
        {"prompt": TALK[:1], "completion": TALK[1:]},
        {"messages": TALK, "tools": [{"type": "function"}]},
        {"text": "a", "entities": [{"start": 0}], "label": 1},
        {"text": "a", "scores": [1, 2], "tags": ["x", "y"]},
    ],
)
def test_a_single_row_is_a_row(tmp_path: Path, row: dict[str, Any]) -> None:
    assert accept(tmp_path, json.dumps(row), "a.jsonl").rows == 1


def test_objects_over_several_lines_are_told(tmp_path: Path) -> None:
    error = refused(tmp_path, json.dumps({"text": "a", "label": 1}, indent=2))
    assert "over several lines" in error.detail
    assert "one object per line" in error.hint.lower()


@pytest.mark.parametrize(("content", "name"), [('[["a", 1], ["b", 0]]', "a.json"), ('["a", 1]\n', "a.jsonl")])
def test_rows_that_are_lists_are_told(tmp_path: Path, content: str, name: str) -> None:
    assert "orient='records'" in refused(tmp_path, content, name).hint


SHAPES = [
    ({"input_ids": [1], "attention_mask": [1]}, "token ids"),
    ({"prompt": "p"}, "prompts without completions"),
    ({"prompt": "p", "completions": ["a"], "labels": [True]}, "several completions"),
    ({"prompt": "p", "response_0": "a", "response_1": "b", "better_response_id": 1}, "several answers"),
    ({"images": ["x.png"], "label": 1}, "pictures"),
    ({"translation": {"en": "a", "de": "b"}}, "several languages"),
    ({"0": "a", "1": 1}, "values, not like names"),
    ({"this film was good": "x", "positive": "y"}, "do not say"),
]


@pytest.mark.parametrize(("row", "said"), SHAPES)
def test_rows_of_other_trainings_are_told_as_what_they_are(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    error = refused(tmp_path, "".join(json.dumps(row) + "\n" for _ in range(2)), "a.jsonl")
    assert error.code == "columns_unmatched"
    assert said in error.detail


def test_unpaired_preferences_are_not_taken_for_completions(tmp_path: Path) -> None:
    content = "".join(json.dumps({"prompt": "p", "completion": "c", "label": flag}) + "\n" for flag in (True, False))
    assert "'label'" in refused(tmp_path, content, "a.jsonl").detail
    csv = "prompt,completion,label\np,c,True\np,d,False\n"
    assert "'label'" in refused(tmp_path, csv, "a.csv").detail
    assert accept(tmp_path, csv, "a.csv", columns={"label": ""}).metadata_columns == {"label": "boolean"}


def test_columns_under_a_field_are_found(tmp_path: Path) -> None:
    error = refused(tmp_path, json.dumps({"version": 1, "data": {"text": ["a", "b"], "label": [1, 0]}}))
    assert "under 'data'" in error.detail


def test_rows_inside_an_object_each_are_told_to_be_taken_out(tmp_path: Path) -> None:
    rows = [{"data": {"text": "a", "label": 1}, "n": 1}, {"data": {"text": "b", "label": 0}, "n": 2}]
    assert "[row['data'] for row in rows]" in refused(tmp_path, json.dumps(rows)).hint


def test_an_object_beside_labels_is_told_to_be_put_with_them(tmp_path: Path) -> None:
    rows = [{"data": {"text": text}, "label": 1} for text in "ab"]
    assert "[{**row.pop('data'), **row} for row in rows]" in refused(tmp_path, json.dumps(rows)).hint
    viewed = [{"row_idx": place, "row": {"text": "a", "label": 1}, "truncated_cells": []} for place in range(2)]
    assert "[row['row'] for row in rows]" in refused(tmp_path, json.dumps(viewed)).hint


@pytest.mark.parametrize("column", ["role", "summary", "response", "answer", "question", "instruction", "highlights"])
def test_what_is_written_beside_a_lone_text_is_not_passed_over(tmp_path: Path, column: str) -> None:
    content = json.dumps({"text": "a", column: "b"}) + "\n" + json.dumps({"text": "c", column: "d"})
    error = refused(tmp_path, content, "a.jsonl")
    assert repr(column) in error.detail
    dataset = accept(tmp_path, content, "a.jsonl", columns={"text": "text"})
    assert (dataset.kind, dataset.metadata_columns) == ("text", {column: "string"})


def test_messages_that_python_printed_are_told(tmp_path: Path) -> None:
    content = "messages\n\"[{'role': 'user', 'content': 'q'}]\"\n"
    assert "how Python prints a list" in refused(tmp_path, content, "a.csv").hint


def test_a_file_without_a_header_is_told(tmp_path: Path) -> None:
    assert "first line" in refused(tmp_path, "good film,1\nbad film,0\n", "a.csv").hint


def test_a_chosen_answer_can_be_followed_to_rows_that_are_right(tmp_path: Path) -> None:
    content = json.dumps({"chosen": TALK, "rejected": TALK}) + "\n"
    dataset = accept(tmp_path, content, "a.jsonl", columns={"messages": "chosen"})
    assert (dataset.kind, dataset.metadata_columns) == ("conversation", {"rejected": "json"})


def test_columns_that_come_late_are_columns(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": "a", "label": 1}] * 5000 + [{"text": "b", "label": 0, "note": "late"}]
    dataset = accept(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "a.jsonl")
    assert dataset.metadata_columns == {"note": "string"}
    late = [{"prompt": "p", "completion": "c"}] * 40 + [{"prompt": "p", "completion": "c", "system": "s"}]
    error = refused(tmp_path, "".join(json.dumps(row) + "\n" for row in late), "b.jsonl")
    assert error.extra["row_index"] == 40

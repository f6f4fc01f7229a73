"""Columns of JSON in Arrow and Parquet, as `datasets` writes objects that differ: read as what was written."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.intake.datasets import accept_dataset
from app.intake.tables.limits import TableLimits
from influence.contracts.dataset import Dataset
from influence.errors import DatainfError
from influence.rows.file import RowFile

USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "b"}
TOOL = {"type": "object", "properties": {"a": {"type": "string", "default": None}}}
Write = Callable[[Path, pa.Table], Path]


def as_json(values: list[Any]) -> pa.Array:
    """A column of JSON, as its text."""
    storage = pa.array([None if value is None else json.dumps(value) for value in values])
    return pa.ExtensionArray.from_storage(pa.json_(), storage)


def as_lists(values: Sequence[Any]) -> pa.Array:
    offsets = [0]
    for items in values:
        offsets.append(offsets[-1] + len(items))
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), as_json([item for items in values for item in items])
    )


def write_parquet(folder: Path, table: pa.Table) -> Path:
    pq.write_table(table, folder / "rows.parquet")
    return folder / "rows.parquet"


def write_arrow(folder: Path, table: pa.Table) -> Path:
    saved = folder / "saved"
    saved.mkdir(exist_ok=True)
    with pa.OSFile(str(saved / "data.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    return saved


def accept(folder: Path, write: Write, **columns: pa.Array) -> tuple[Dataset, list[dict[str, Any]]]:
    dataset = accept_dataset(write(folder, pa.table(columns)), limits=TableLimits(), destination_root=folder)
    with RowFile(folder / dataset.id) as file:
        return dataset, list(file)


@pytest.mark.parametrize("write", [write_parquet, write_arrow])
def test_conversations_and_tools_are_what_was_written(tmp_path: Path, write: Write) -> None:
    weighed = {**ANSWER, "tool_calls": [{"function": {"name": "f", "arguments": {"x": None}}}]}
    talks, tools = [[USER, weighed], [USER, ANSWER]], [[{"function": {"name": "f", "parameters": TOOL}}], []]
    dataset, rows = accept(tmp_path, write, messages=as_lists(talks), tools=as_lists(tools))
    assert (dataset.kind, [row["messages"] for row in rows]) == ("conversation", talks)
    assert (rows[0]["tools"], dataset.problems) == (tools[0], ())


def test_json_inside_a_struct_is_read_and_the_nulls_round_it_are_told(tmp_path: Path) -> None:
    calls = pa.StructArray.from_arrays([pa.array(["f", "g"]), as_json([{"x": None}, 5])], ["name", "arguments"])
    names = ["role", "content", "call"]
    turns = pa.StructArray.from_arrays([pa.array(["user"] * 2), pa.array(["q"] * 2), calls], names)
    _, rows = accept(tmp_path, write_parquet, messages=pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), turns))
    assert [turn["call"]["arguments"] for turn in rows[0]["messages"]] == [{"x": None}, 5]


def test_texts_that_are_json_are_texts(tmp_path: Path) -> None:
    dataset, rows = accept(tmp_path, write_parquet, prompt=as_json(["q", "r"]), completion=as_json(["a", "b"]))
    assert (dataset.kind, rows[0]["prompt"], rows[1]["completion"]) == ("completion", "q", "b")
    with pytest.raises(DatainfError, match="where text is needed"):
        accept(tmp_path, write_parquet, prompt=as_json(["q", "r"]), completion=as_json(["a", 42]))


def test_classes_of_json_are_numbers_and_words_apart(tmp_path: Path) -> None:
    dataset, _ = accept(tmp_path, write_parquet, text=pa.array(["a", "b"]), label=as_json([1, 0]))
    assert dataset.statistics["labels"] == {"0": 1, "1": 1}
    assert dataset.label_names is None


@pytest.mark.parametrize("text", ["{", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    broken = pa.ExtensionArray.from_storage(pa.json_(), pa.array([text]))
    with pytest.raises(DatainfError, match="JSON"):
        accept(tmp_path, write_parquet, text=pa.array(["a"]), label=pa.array([0]), beside=broken)


def test_nulls_that_a_format_may_have_filled_in_are_told(tmp_path: Path) -> None:
    turns = [
        [USER, {**ANSWER, "tool_calls": [{"name": "f", "arguments": {"city": "Rome"}}]}],
        [USER, {**ANSWER, "tool_calls": [{"name": "f", "arguments": {"city": "Oslo", "unit": "C"}}]}],
    ]
    dataset, rows = accept(tmp_path, write_parquet, messages=pa.array(turns))
    assert rows[0]["messages"][1]["tool_calls"][0]["arguments"] == {"city": "Rome"}
    assert [(problem.code, problem.names) for problem in dataset.problems] == [("nulls_left_out", ("tool_calls",))]

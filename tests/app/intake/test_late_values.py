"""Labels whose kind shows late in a file, numbers of other types, and JSON that is almost JSON."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.intake.datasets import accept_dataset
from app.intake.tables.limits import TableLimits
from influence.contracts.dataset import Dataset
from influence.errors import DatainfError

LIMITS = TableLimits(max_bytes=8 << 20, max_rows=5000, max_row_bytes=1 << 20, max_columns=20)


def accept(folder: Path, name: str, content: bytes) -> Dataset:
    file = folder / "upload"
    file.write_bytes(content)
    return accept_dataset(file, filename=name, limits=LIMITS, destination_root=folder)


def lines(labels: list[Any], column: str = "label") -> bytes:
    return "\n".join(json.dumps({"text": f"row {place}", column: label}) for place, label in enumerate(labels)).encode()


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([1.0] * 40 + [2.5], "regression"),
        ([[0, 1]] * 40 + [[2, 3]], "multi_label_classification"),
        ([[0, 1]] * 40 + [[1]], "multi_label_classification"),
        ([None] * 0 + [1] * 40, "classification"),
        (["1"] * 40 + ["2.5"], "classification"),
    ],
)
def test_all_rows_say_what_a_label_is(labels: list[Any], kind: str, tmp_path: Path) -> None:
    assert accept(tmp_path, "rows.jsonl", lines(labels)).kind == kind


def test_vectors_stay_vectors_only_where_all_rows_are(tmp_path: Path) -> None:
    assert "label_vector" in accept(tmp_path, "rows.jsonl", lines([[0, 1]] * 40 + [[1, 1]])).columns
    assert "labels" in accept(tmp_path, "rows.jsonl", lines([[0, 1]] * 40 + [[2, 1]])).columns


def test_a_fraction_late_in_a_csv_file_makes_numbers(tmp_path: Path) -> None:
    content = "text,label\n" + "".join(f"row {place},1\n" for place in range(40)) + "last,2.5\n"
    assert accept(tmp_path, "rows.csv", content.encode()).kind == "regression"


@pytest.mark.parametrize(("scale", "kind"), [(0, "classification"), (1, "regression")])
def test_decimals_are_numbers(scale: int, kind: str, tmp_path: Path) -> None:
    values = [Decimal(1), Decimal("0.5") if scale else Decimal(0)]
    table = pa.table({"text": ["a", "b"], "label": pa.array(values, pa.decimal128(5, scale))})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert accept(tmp_path, "rows.parquet", (tmp_path / "rows.parquet").read_bytes()).kind == kind


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("rows.jsonl", '{"text": "a", "label": NaN}', "Write null"),
        ("rows.jsonl", '{"text": "a", "text": "b"}', "Keep one of the two"),
        ("rows.json", '[{"text": "a"},\n]', "Remove the comma"),
        ("rows.csv", "sentence1,sentence2,score\na,b,3.5\n", '"score":"score"'),
        ("rows.csv", "question1,question2,is_duplicate\na,b,1\n", '"label":"is_duplicate"'),
        ("rows.jsonl", '{"question": "q", "context": "c", "answers": {"text": ["x"], "start": [0]}}', "row['answers']"),
    ],
)
def test_hint_names_the_fault_and_a_way_that_works(name: str, content: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(DatainfError) as caught:
        accept(tmp_path, name, content.encode())
    assert hint in caught.value.hint


def test_following_the_hint_for_pairs_makes_rows(tmp_path: Path) -> None:
    content = b"sentence1,sentence2,score\na,b,3.5\n"
    with pytest.raises(DatainfError) as caught:
        accept(tmp_path, "rows.csv", content)
    columns = json.loads(caught.value.hint.partition("columns=")[2].rstrip("."))
    found = accept_dataset(
        tmp_path / "upload", filename="rows.csv", columns=columns, limits=LIMITS, destination_root=tmp_path
    )
    assert found.kind == "regression"

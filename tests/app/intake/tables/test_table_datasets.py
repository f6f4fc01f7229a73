"""A table becomes a data set with an address, or leaves nothing behind."""

import json
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

LIMITS = TableLimits(max_bytes=64 << 20)
ROWS = [{"uid": place, "review": f"film number {place}", "label": place % 2} for place in range(30)]
REAL = Path(__file__).resolve().parents[5] / "shared" / "data"


def accept(path: Path, root: Path, **options: Any) -> Dataset:
    root.mkdir(exist_ok=True)
    return accept_dataset(path, limits=LIMITS, destination_root=root, **options)


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_an_accepted_data_set_holds_its_rows(tmp_path: Path) -> None:
    dataset = accept(jsonl(tmp_path / "a.jsonl", ROWS), tmp_path / "kept", name="films")
    assert dataset.id.startswith("ds_")
    assert (dataset.name, dataset.kind, dataset.rows) == ("films", "classification", 30)
    assert dataset.columns == {"text": "review", "label": "label", "id": "uid"}
    assert dataset.statistics["labels"] == {"0": 15, "1": 15}
    with RowFile(tmp_path / "kept" / dataset.id) as file:
        assert file.read(4, 5) == [{"id": "4", "text": "film number 4", "label": 0}]
        assert file.summary.bytes == dataset.bytes


def test_the_same_rows_have_one_address_in_every_format(tmp_path: Path) -> None:
    root = tmp_path / "kept"
    (tmp_path / "a.json").write_text(json.dumps(ROWS, indent=1))
    (tmp_path / "a.csv").write_text(
        "uid,review,label\n" + "".join(f"{','.join(map(str, row.values()))}\n" for row in ROWS)
    )
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    jsonl(tmp_path / "a.jsonl", ROWS)
    ids = {accept(tmp_path / f"a.{ending}", root).id for ending in ("json", "csv", "parquet", "jsonl", "csv")}
    assert len(ids) == 1
    assert [folder.name for folder in root.iterdir()] == list(ids)


def test_label_names_are_part_of_the_address(tmp_path: Path) -> None:
    path, root = jsonl(tmp_path / "a.jsonl", ROWS), tmp_path / "kept"
    named = accept(path, root, label_names=["bad", "good"])
    assert named.label_names == ("bad", "good")
    assert named.id != accept(path, root).id


def test_class_names_of_a_parquet_file_are_taken(tmp_path: Path) -> None:
    features = {"label": {"names": ["bad", "good"], "_type": "ClassLabel"}}
    table = pa.Table.from_pylist(ROWS).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert accept(tmp_path / "a.parquet", tmp_path / "kept").label_names == ("bad", "good")


def test_a_damaged_copy_is_replaced(tmp_path: Path) -> None:
    path, root = jsonl(tmp_path / "a.jsonl", ROWS), tmp_path / "kept"
    first = accept(path, root)
    stored = root / first.id / "rows.jsonl"
    stored.write_bytes(stored.read_bytes().replace(b"film", b"fill"))
    assert accept(path, root).id == first.id
    with RowFile(root / first.id) as file:
        file.verify()
    assert len(list(root.iterdir())) == 1


def test_alpaca_triples_say_which_template_they_took(tmp_path: Path) -> None:
    rows = [{"instruction": "Greet.", "input": "", "output": "Hi"}]
    dataset = accept(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "kept")
    assert (dataset.kind, dataset.statistics["prompt_template"]) == ("completion", "alpaca")


@pytest.mark.parametrize(
    ("rows", "options", "code"),
    [
        ([{"a": 1}], {}, "columns_unmatched"),
        ([{"text": "a", "sentence1": "b", "sentence2": "c", "label": 1}], {}, "columns_ambiguous"),
        ([{"text": "a", "label": 1}], {"columns": {"text": "txt"}}, "columns_unmatched"),
        ([{"text": "a", "label": 1}], {"columns": {"words": "text"}}, "invalid_request"),
        ([{"text": "a", "label": 1}, {"text": "b"}], {}, "rows_refused"),
        ([{"text": "a", "label": 1}, {"text": None, "label": 1}], {}, "broken_row"),
        ([{"text": "a", "label": 5}], {"label_names": ["x", "y"]}, "label_out_of_range"),
        ([{"text": "a", "label": "z"}], {"label_names": ["x", "y"]}, "label_unknown"),
        ([{"text": "a", "label": 0}], {"label_names": ["x", "x"]}, "invalid_request"),
        ([{"id": "1", "text": "a"}, {"id": "1", "text": "b"}], {}, "rows_refused"),
        ([], {}, "empty_file"),
    ],
)
def test_a_refused_data_set_leaves_nothing_behind(
    tmp_path: Path, rows: list[dict[str, Any]], options: dict[str, Any], code: str
) -> None:
    with pytest.raises(DatainfError) as caught:
        accept(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "kept", **options)
    assert caught.value.code == code
    assert len(caught.value.hint) > 10
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared public data sets are not here")
@pytest.mark.parametrize(
    ("name", "kind", "rows", "labels"),
    [
        ("sst2", "classification", 4500, 2),
        ("banking10", "classification", 1769, 10),
        ("sms_spam", "classification", 4159, 2),
        ("math_with_reason", "completion", 900, None),
        ("math_without_reason", "completion", 900, None),
        ("sentence_transformations", "completion", 900, None),
    ],
)
def test_public_data_sets_load_by_their_own_column_names(
    tmp_path: Path, name: str, kind: str, rows: int, labels: int | None
) -> None:
    dataset = accept(REAL / name / "train.jsonl", tmp_path / "kept")
    assert (dataset.kind, dataset.rows) == (kind, rows)
    assert (len(dataset.label_names) if dataset.label_names else None) == labels
    with RowFile(tmp_path / "kept" / dataset.id) as file:
        assert [row["id"] for row in file.read(0, 2)] == [f"{name}-train-00000", f"{name}-train-00001"]

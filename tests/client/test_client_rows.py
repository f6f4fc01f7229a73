"""Rows as people have them reach the service as the same rows."""

from datetime import datetime
from pathlib import Path

import datasets
import pandas as pd
import pytest

from datainf_client import Client, ServiceError

ROWS = [
    {"text": "late\u2028parcel", "label": "delivery", "stars": 4, "seen": "2026-01-02T00:00:00", "note": None},
    {"text": "naïve <b>refund</b>", "label": "billing", "stars": 5, "seen": "2026-01-03T00:00:00", "note": "x"},
]


def test_a_frame_dictionaries_and_a_file_are_the_same_data_set(client: Client, tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS)
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    sent = [client.datasets.create(rows) for rows in (ROWS, frame, iter(ROWS), path, str(path))]
    assert len({one.id for one in sent}) == 1
    assert [row.row["text"] for row in sent[0].read_rows()] == [row["text"] for row in ROWS]
    assert sent[0].to_pandas()["metadata_stars"].tolist() == [4, 5]


def test_times_and_what_is_missing_in_a_frame_are_sent_as_such(client: Client) -> None:
    frame = pd.DataFrame(
        {
            "text": ["a", "b"],
            "label": pd.array([1, 0], dtype="Int64"),
            "seen": [datetime(2026, 1, 2), pd.NaT],
            "share": [0.1 + 0.2, float("nan")],
            "words": [["x"], ["y", "z"]],
        }
    )
    dataset = client.datasets.create(frame)
    first, second = dataset.read_rows()
    assert (first.row["label"], second.row["label"]) == (1, 0)
    assert first.metadata == {"seen": "2026-01-02T00:00:00", "share": 0.1 + 0.2, "words": ["x"]}
    assert second.metadata is not None
    assert second.metadata.get("seen") is None
    assert second.metadata.get("share") is None


def test_a_data_set_of_the_hub_brings_its_class_names(client: Client) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["billing", "delivery"])}
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    dataset = client.datasets.create(rows)
    assert dataset.label_names == ["billing", "delivery"]
    assert [row.row["label"] for row in dataset.read_rows()] == [1, 0]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([1], "Row 0 is a int"),
        ([{"text": object()}], "cannot be written as JSON"),
        ([{"text": "a", "x": float("inf")}], "cannot be written as JSON"),
        ("missing.jsonl", "cannot be read"),
        ([], "is empty"),
    ],
)
def test_what_is_no_row_is_named(client: Client, rows: object, told: str) -> None:
    with pytest.raises(ServiceError, match=told):
        client.datasets.create(rows)


def test_columns_are_named_where_they_leave_a_choice(client: Client) -> None:
    dataset = client.datasets.create([{"body": "a", "y": "b"}], columns={"text": "body", "label": "y"}, name="named")
    assert (dataset.columns, dataset.name) == ({"text": "body", "label": "y"}, "named")


def test_lists_are_read_page_by_page(client: Client) -> None:
    made = [client.datasets.create([{"text": f"row {number}", "label": "a"}]).id for number in range(5)]
    assert [one.id for one in client.datasets.list(limit=2)] == made[::-1]

"""Decisions come back to the rows that the caller has."""

from typing import Any

import datasets
import pandas as pd
import pytest

from datainf_client import Client, Review, ServiceError

ROWS = [{"text": f"ticket {number}", "label": ("billing", "access")[number % 2], "n": number} for number in range(6)]


@pytest.fixture
def review(client: Client) -> Review:
    """Row 1 goes, row 2 gets another label, row 3 stays."""
    review = client.reviews.create(client.datasets.create(ROWS))
    review.decide([{"row_index": 1, "action": "remove"}, {"row_index": 2, "action": "relabel", "label": "access"}])
    review.decide(3, "keep", note="=cmd()")
    return review


def expected() -> list[dict[str, Any]]:
    return [{**row, "label": "access"} if row["n"] == 2 else row for row in ROWS if row["n"] != 1]


def test_a_frame_keeps_its_index_and_types(review: Review) -> None:
    frame = pd.DataFrame(ROWS, index=list("abcdef")).astype({"label": "category"})
    cleaned = review.apply(frame)
    assert list(cleaned.index) == list("acdef")
    assert cleaned.to_dict("records") == expected()
    assert (cleaned.dtypes == frame.dtypes).all()
    assert frame["label"]["c"] == "billing"


def test_dictionaries_stay_dictionaries(review: Review) -> None:
    assert review.apply(ROWS) == expected()
    assert ROWS[2]["label"] == "billing"


def test_a_data_set_of_the_hub_stays_one(review: Review) -> None:
    cleaned = review.apply(datasets.Dataset.from_list(ROWS))
    assert isinstance(cleaned, datasets.Dataset)
    assert cleaned.to_list() == expected()


def test_class_numbers_stay_numbers(client: Client) -> None:
    rows = [{"text": f"t {number}", "label": number % 2} for number in range(4)]
    review = client.reviews.create(client.datasets.create(rows, label_names=["no", "yes"]))
    review.decide(0, "relabel", label="yes")
    assert review.apply(pd.DataFrame(rows))["label"].tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("rows", [ROWS[:-1], ROWS[::-1], [*ROWS, ROWS[0]]])
def test_other_rows_are_refused(review: Review, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ServiceError, match=r"[Rr]ow"):
        review.apply(pd.DataFrame(rows))


def test_decisions_are_exported_and_taken_back(client: Client, review: Review, tmp_path: Any) -> None:
    path = review.export(tmp_path / "review.csv", mode="annotated")
    other = client.reviews.create(review.dataset_id, name="second")
    assert other.import_decisions(path, by="bob").applied == 3
    assert other.to_pandas().set_index("row_index")["action"].to_dict() == {1: "remove", 2: "relabel", 3: "keep"}
    assert other.rename("third").name == "third"
    assert [entry.by for entry in other.read_history()] == ["bob"]


def test_what_was_decided_meanwhile_comes_back_as_a_conflict(review: Review) -> None:
    known = review.version
    review.decide(4, "remove")
    answer = review.decide(4, "keep", if_version=known)
    assert (answer.applied, [one.row_index for one in answer.conflicts]) == (0, [4])

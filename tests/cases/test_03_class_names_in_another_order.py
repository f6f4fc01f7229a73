"""Data set and checkpoint name the same classes in different orders: names decide, numbers do not."""

from pathlib import Path
from typing import Any

import pytest
from support.problems import assert_problem
from support.uploads.cases import BERT, case_folder
from support.uploads.local_service import LocalService, taken

HEAD = ["contradiction", "neutral", "entailment"]


@pytest.fixture
def case() -> Path:
    return case_folder("03-class-names-in-another-order")


def labels_of_audit(service: LocalService, index: dict[str, Any]) -> list[tuple[str, str]]:
    made = taken(service.client.post(f"/v1/indexes/{index['id']}/audits", json={}))
    service.finish(made["job_id"])
    rows = taken(service.client.get(f"/v1/audits/{made['id']}/rows"))["data"]
    return sorted((row["row"]["text"], row["label"]) for row in rows)


def test_classes_are_mapped_by_name(service: LocalService, case: Path) -> None:
    checkpoint = service.checkpoint(BERT, case / "adapter", label_names=HEAD)
    dataset = service.dataset(case / "rows.parquet")
    assert dataset["label_names"] == ["entailment", "neutral", "contradiction"]
    index = service.index(checkpoint, dataset, storage="full")
    assert labels_of_audit(service, index) == [
        ("a dog runs", "contradiction"),
        ("a man sleeps", "entailment"),
        ("it rains", "neutral"),
    ]


def test_scores_are_those_of_rows_that_are_labelled_by_name(service: LocalService, case: Path) -> None:
    checkpoint = service.checkpoint(BERT, case / "adapter", label_names=HEAD)
    by_number = service.index(checkpoint, service.dataset(case / "rows.parquet"), storage="full")
    rows = [
        {"premise": "a man sleeps", "hypothesis": "he is asleep", "label": "entailment"},
        {"premise": "a dog runs", "hypothesis": "a cat sits", "label": "contradiction"},
        {"premise": "it rains", "hypothesis": "it is wet", "label": "neutral"},
    ]
    by_name = service.index(checkpoint, service.dataset(rows), storage="full")
    example = {"premise": "a dog sleeps", "hypothesis": "it runs", "label": "entailment"}
    assert service.scores(by_number, example)[1] == pytest.approx(service.scores(by_name, example)[1], rel=1e-5)


def test_names_that_are_not_the_heads_are_refused_with_both_orders(service: LocalService, case: Path) -> None:
    checkpoint = service.checkpoint(BERT, case / "adapter", label_names=["no", "maybe", "yes"])
    dataset = service.dataset(case / "rows.parquet")
    body = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"]}
    problem = assert_problem(service.client.post("/v1/indexes", json=body), 422, "label_unknown")
    assert "0 'entailment', 1 'neutral', 2 'contradiction'" in problem["detail"]
    assert "0 'no', 1 'maybe', 2 'yes'" in problem["detail"]

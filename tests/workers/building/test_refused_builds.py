"""Rows that would give confident nonsense are refused by name or left out, as the request says."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, submit_index, submit_query
from support.tiny import WORDS, make_classifier

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import Storage
from workers.runtime.state import Runtime

POISON = "refund"
ROWS = make_ticket_rows(30)
BAD = [row["id"] for row in ROWS if POISON in row["text"].split()]


@pytest.fixture
def poisoned(worker: Runtime, tmp_path: Path) -> Checkpoint:
    """A checkpoint whose base has a word that overflows."""
    made = make_classifier(tmp_path / "poisoned")
    weights = load_file(made.base / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][5 + WORDS.index(POISON)] = 3e38
    save_file(weights, made.base / "model.safetensors", metadata={"format": "pt"})
    return add_checkpoint(worker.store, worker.files, made, "sequence_classification")


@pytest.mark.parametrize("storage", ["full", "compact"])
def test_gradients_that_are_not_finite_fail_the_build_by_row(
    worker: Runtime, poisoned: Checkpoint, finished: Any, storage: Storage
) -> None:
    dataset = add_dataset(worker.store, worker.files, ROWS, "classification")
    index = submit_index(worker.store, poisoned, dataset, storage=storage)
    error = finished(worker.store, index.job_id).error
    assert error["code"] == "non_finite_gradients"
    assert "on_non_finite" in error["hint"]
    assert set(error["row_ids"]) <= set(BAD)
    assert error["count"] > 0
    assert worker.store.indexes.require(index.id).state == "failed"


def test_or_are_left_out_and_named(worker: Runtime, poisoned: Checkpoint, finished: Any, answered: Any) -> None:
    dataset = add_dataset(worker.store, worker.files, ROWS, "classification")
    index = submit_index(worker.store, poisoned, dataset, storage="full", on_non_finite="skip")
    assert finished(worker.store, index.job_id).state == "succeeded"
    made = worker.store.indexes.require(index.id)
    assert list(made.skipped_rows) == BAD
    assert made.rows_indexed == len(ROWS) - len(BAD)
    assert any(f"{len(BAD)} rows" in warning for warning in made.warnings)
    good = {"text": "late parcel", "label": "delivery"}
    query = answered(worker.store, submit_query(worker.store, index.id, examples=[good], k=30))
    assert not {row.row_id for row in query.results[0].helpful + query.results[0].harmful} & set(BAD)


def test_a_test_point_that_is_not_finite_fails_its_query_with_a_hint(
    worker: Runtime, poisoned: Checkpoint, finished: Any
) -> None:
    dataset = add_dataset(worker.store, worker.files, ROWS, "classification")
    index = submit_index(worker.store, poisoned, dataset, storage="full", on_non_finite="skip")
    assert finished(worker.store, index.job_id).state == "succeeded"
    bad = {"id": "t", "text": f"{POISON} late", "label": "delivery"}
    error = finished(worker.store, submit_query(worker.store, index.id, examples=[bad]).job_id).error
    assert (error["code"], error["row_ids"]) == ("non_finite_gradients", ["t"])
    assert "test points" in error["hint"]


def test_long_rows_are_cut_and_counted_or_refused_by_name(
    worker: Runtime, checkpoint: Checkpoint, finished: Any
) -> None:
    dataset = add_dataset(worker.store, worker.files, ROWS, "classification")
    long = [row["id"] for row in ROWS if len(row["text"].split()) + 2 > 8]
    cut = submit_index(worker.store, checkpoint, dataset, storage="full", gradients={"max_length": 8})
    assert finished(worker.store, cut.job_id).state == "succeeded"
    made = worker.store.indexes.require(cut.id)
    assert made.truncated_rows == len(long)
    assert f"{len(long)} rows were cut to 8 tokens." in made.warnings
    strict = {"max_length": 8, "on_too_long": "fail"}
    refused = submit_index(worker.store, checkpoint, dataset, storage="full", gradients=strict)
    error = finished(worker.store, refused.job_id).error
    assert (error["code"], error["row_ids"]) == ("row_too_long", long)
    assert "on_too_long" in error["hint"]


def test_a_label_outside_the_head_fails_the_build_by_row(
    worker: Runtime, checkpoint: Checkpoint, finished: Any
) -> None:
    rows = [*make_ticket_rows(5), {"id": "odd", "text": "late", "label": 3}]
    dataset = add_dataset(worker.store, worker.files, rows, "classification")
    error = finished(worker.store, submit_index(worker.store, checkpoint, dataset, storage="full").job_id).error
    assert (error["code"], error["row_ids"]) == ("label_out_of_range", ["odd"])
    assert "3 outputs" in error["hint"]

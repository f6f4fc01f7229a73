"""An index in bfloat16 says what that costs."""

from typing import Any

from support.service import submit_index

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from workers.runtime.state import Runtime


def test_bfloat16_is_measured_against_float32(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any
) -> None:
    gradients = {"max_length": 64, "precision": "bfloat16"}
    index = submit_index(worker.store, checkpoint, dataset, storage="full", gradients=gradients)
    assert finished(worker.store, index.job_id).state == "succeeded", worker.store.indexes.require(index.id).error
    measured = worker.store.indexes.require(index.id).precision_fidelity
    assert measured is not None
    assert measured["rows"] == 48
    assert 0.9 < measured["spearman_worst"] <= measured["spearman_mean"] < 1
    assert 0.9 < measured["cosine_worst"] < 1


def test_float32_has_nothing_to_measure(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any
) -> None:
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    finished(worker.store, index.job_id)
    assert worker.store.indexes.require(index.id).precision_fidelity is None

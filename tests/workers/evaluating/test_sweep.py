"""Sweeps through the real queue and engine: the scores compared are those that queries give."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index, submit_query, submit_sweep
from support.tiny import TinyCheckpoint

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.errors import Cancelled
from influence.evaluating.agreement import spearman
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.evaluating.sweep import sweep_dampings
from workers.runtime.state import Runtime

TEST = make_ticket_rows(3, seed=9)
SCALES = (0.01, 1.0, 100.0)


@pytest.mark.parametrize(
    ("storage", "method"), [("full", "datainf"), ("full", "exact"), ("full", "ekfac"), ("compact", "joint")]
)
def test_a_sweep_compares_what_queries_at_each_damping_give(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, answered: Any, storage: str, method: str
) -> None:
    store = worker.store
    submitted = submit_index(store, checkpoint, dataset, storage=storage, kronecker=method == "ekfac")
    assert finished(store, submitted.job_id).state == "succeeded"
    sweep = submit_sweep(store, submitted.id, method, SCALES, default=1.0, examples=TEST)
    assert finished(store, sweep.job_id).state == "succeeded", store.sweeps.require(sweep.id).error
    found = store.sweeps.require(sweep.id)
    hot: Any = worker.hot_indexes.get(submitted, lambda: pytest.fail("the index is hot"))
    assert not hot._prepared
    scores = {}
    for scale in SCALES:
        query = submit_query(store, submitted.id, examples=TEST, method=method, damping_scale=scale, exact=False)
        scores[scale] = store.scores.read(answered(store, query).id, 3, 60)
    assert found.result is not None
    for row in found.result.rows:
        pairs = zip(scores[row.damping_scale], scores[1.0], strict=True)
        assert row.spearman_with_default == pytest.approx(np.mean([spearman(one, other) for one, other in pairs]))
    assert found.result.rows[1].overlap_with_default == 1.0
    assert (found.result.test_points, found.result.rows_scored) == (3, 60)
    progress = store.jobs.require(sweep.job_id).progress
    assert (progress.phase, progress.done, progress.unit) == ("dampings", 3, "dampings")


def test_a_sweep_that_would_not_fit_is_refused_with_figures(
    server: EmbeddedServer, store: Store, tmp_path: Path, classifier: TinyCheckpoint, finished: Any
) -> None:
    budget = 4 * 3 * 60 * 3 - 1
    with running_worker(server.url, tmp_path / "data") as worker:
        checkpoint = add_checkpoint(store, worker.files, classifier, "sequence_classification")
        dataset = add_dataset(store, worker.files, make_ticket_rows(60), "classification")
        index = submit_index(store, checkpoint, dataset, storage="full")
        assert finished(store, index.job_id).state == "succeeded"
    with running_worker(server.url, tmp_path / "data", memory_budget_bytes=budget):
        sweep = submit_sweep(store, index.id, "datainf", SCALES, default=1.0, examples=TEST)
        error = finished(store, sweep.job_id).error
    assert error["code"] == "does_not_fit"
    assert error["needed_bytes"] == budget + 1
    assert store.sweeps.require(sweep.id).state == "failed"


def test_a_sweep_that_was_cancelled_is_not_begun_and_stops_where_it_is(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, wait_until: Any
) -> None:
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    finished(worker.store, index.job_id)
    sweep = submit_sweep(worker.store, index.id, "datainf", SCALES, default=1.0, cancelled=True, examples=TEST)
    wait_until(lambda: worker.store.queue.depth("query") == 0, "the message is taken")
    with pytest.raises(Cancelled):
        sweep_dampings(worker, sweep)
    assert worker.store.sweeps.require(sweep.id).result is None

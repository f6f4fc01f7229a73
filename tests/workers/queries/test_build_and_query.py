"""From rows to scores through the real queue, store, engine and methods."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.answered import present
from support.oracle import dense_datainf, loop_gradients
from support.rows import make_completion_rows, make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint, make_causal, make_deberta

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.index import GradientSettings
from influence.store import keys
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from influence.store.work import cancel, send
from workers.loading.checkpoint import load_checkpoint
from workers.loading.options import LoadOptions
from workers.runtime.state import Runtime

ROWS = 60


def oracle_scores(runtime: Runtime, checkpoint: Checkpoint, test: list[dict[str, Any]], train: Any) -> Any:
    loaded = load_checkpoint(
        checkpoint,
        runtime.files.adapter(present(checkpoint.adapter_digest)),
        GradientSettings(max_length=64),
        LoadOptions(cache_dir=runtime.files.hub),
    )
    return dense_datainf(loop_gradients(loaded, test), loop_gradients(loaded, train))


def test_scores_equal_the_formula_written_out(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, answered: Any
) -> None:
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    assert finished(worker.store, index.job_id).state == "succeeded"
    test = make_ticket_rows(3, seed=9)
    query = submit_query(worker.store, index.id, examples=test, k=5)
    results = answered(worker.store, query).results or ()
    found = present(worker.store.scores.read(query.id, 3, ROWS))
    truth = oracle_scores(worker, checkpoint, test, make_ticket_rows(ROWS))
    np.testing.assert_allclose(found, truth, atol=1e-4 * np.abs(truth).max())
    for result, influence in zip(results, truth, strict=True):
        assert [row.row_index for row in result.helpful] == np.argsort(influence)[:5].tolist()
        assert [row.row_index for row in result.harmful] == np.argsort(-influence)[:5].tolist()
        assert all(row.score == -row.influence and row.exact for row in result.helpful + result.harmful)
        assert {row.direction for row in result.helpful} == {"helpful"}


def test_a_shard_is_cut_and_joined_without_a_trace(
    server: EmbeddedServer, store: Store, tmp_path: Path, classifier: TinyCheckpoint, finished: Any, answered: Any
) -> None:
    with running_worker(server.url, tmp_path / "data", shard_seconds=1e-3, token_budget=64) as worker:
        checkpoint = add_checkpoint(store, worker.files, classifier, "sequence_classification")
        dataset = add_dataset(store, worker.files, make_ticket_rows(ROWS), "classification")
        index = submit_index(store, checkpoint, dataset, storage="full")
        assert finished(store, index.job_id).state == "succeeded"
        assert store.indexes.require(index.id).shards == 2
        test = make_ticket_rows(1, seed=9)
        query = answered(store, submit_query(store, index.id, examples=test))
        truth = oracle_scores(worker, checkpoint, test, make_ticket_rows(ROWS))
    np.testing.assert_allclose(present(store.scores.read(query.id, 1, ROWS)), truth, atol=1e-4 * np.abs(truth).max())


def test_a_mean_is_the_mean_of_its_test_points(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, answered: Any
) -> None:
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    finished(worker.store, index.job_id)
    test = make_ticket_rows(4, seed=5)
    each = answered(worker.store, submit_query(worker.store, index.id, examples=test))
    mean = answered(worker.store, submit_query(worker.store, index.id, examples=test, aggregate="mean"))
    separate = present(worker.store.scores.read(each.id, 4, ROWS))
    joined = present(worker.store.scores.read(mean.id, 1, ROWS))
    assert separate is not None
    assert joined is not None
    np.testing.assert_allclose(joined[0], separate.mean(axis=0), atol=1e-5 * np.abs(separate).max())


def test_block_contributions_add_up_to_the_influence(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, answered: Any
) -> None:
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    finished(worker.store, index.job_id)
    test = make_ticket_rows(1, seed=5)
    query = answered(worker.store, submit_query(worker.store, index.id, examples=test, include=["blocks"]))
    (result,) = present(query.results)
    for row in result.helpful + result.harmful:
        assert row.blocks is not None
        assert sum(row.blocks.values()) == pytest.approx(row.influence, rel=1e-3, abs=1e-6)


def test_the_models_own_answer_can_be_the_target(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, answered: Any
) -> None:
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    finished(worker.store, index.job_id)
    unlabelled = [{"id": "q", "text": "refund my card please", "label": None}]
    query = submit_query(worker.store, index.id, examples=unlabelled, target="prediction")
    (result,) = present(answered(worker.store, query).results)
    assert result.example["label"] == result.predicted_label
    assert result.loss == pytest.approx(-np.log(result.predicted_probability), rel=1e-4)


def test_completions_are_scored_on_their_own_tokens(
    worker: Runtime, finished: Any, answered: Any, tmp_path: Path
) -> None:
    checkpoint = add_checkpoint(worker.store, worker.files, make_causal(tmp_path / "causal"), "causal_lm")
    rows, test = make_completion_rows(30), make_completion_rows(2, seed=7)
    dataset = add_dataset(worker.store, worker.files, rows, "completion")
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    assert finished(worker.store, index.job_id).state == "succeeded", worker.store.indexes.require(index.id).error
    query = answered(worker.store, submit_query(worker.store, index.id, examples=test))
    truth = oracle_scores(worker, checkpoint, test, rows)
    np.testing.assert_allclose(
        present(worker.store.scores.read(query.id, 2, 30)), truth, atol=1e-4 * np.abs(truth).max()
    )


@pytest.mark.parametrize("damage", ["lose", "flip"])
def test_lost_or_damaged_gradients_are_computed_again(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, answered: Any, damage: str
) -> None:
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    finished(worker.store, index.job_id)
    name, cache = keys.gradients(index.build, 0, 1, 0), worker.store.connections.cache
    if damage == "lose":
        cache.delete(name)
    else:
        cache.setrange(name, 100, b"\x00\x01\x02")
    test = make_ticket_rows(1, seed=5)
    query = answered(worker.store, submit_query(worker.store, index.id, examples=test))
    truth = oracle_scores(worker, checkpoint, test, make_ticket_rows(ROWS))
    np.testing.assert_allclose(
        present(worker.store.scores.read(query.id, 1, ROWS)), truth, atol=1e-4 * np.abs(truth).max()
    )


def test_a_bad_row_fails_the_build_by_name(
    worker: Runtime, checkpoint: Checkpoint, finished: Any, answered: Any
) -> None:
    rows = [*make_ticket_rows(20), {"id": "odd-one", "text": "late parcel", "label": 7}]
    dataset = add_dataset(worker.store, worker.files, rows, "classification")
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    job = finished(worker.store, index.job_id)
    assert (job.state, job.error["code"]) == ("failed", "label_out_of_range")
    assert "odd-one" in job.error["detail"]
    assert worker.store.indexes.require(index.id).state == "failed"


def test_a_cancelled_build_leaves_nothing_behind(
    server: EmbeddedServer, store: Store, tmp_path: Path, classifier: TinyCheckpoint, wait_until: Callable[..., None]
) -> None:
    with running_worker(server.url, tmp_path / "data", shard_seconds=1e-3, token_budget=16) as worker:
        checkpoint = add_checkpoint(store, worker.files, classifier, "sequence_classification")
        dataset = add_dataset(store, worker.files, make_ticket_rows(600), "classification")
        committed, cancelled = threading.Event(), threading.Event()

        def hold(*_: object) -> None:  # or the build might be over before it is cancelled
            if any(store.connections.state.scan_iter(match="*:commits")):
                committed.set()
                cancelled.wait()

        model = worker.models.get(checkpoint, GradientSettings(max_length=64)).model
        model.register_forward_pre_hook(hold)
        index = submit_index(store, checkpoint, dataset, storage="full")
        try:
            wait_until(committed.is_set, "a shard is committed")
            cancel(store, index.job_id)
        finally:
            cancelled.set()
        wait_until(lambda: store.queue.depth("build") == 0, "the queue is empty")
    assert list(store.connections.state.scan_iter(match=keys.build_pattern(index.id))) == []
    assert store.index_data.count_commits(index.build) == 0


def test_a_model_without_fused_attention_is_scored_too(
    worker: Runtime, finished: Any, answered: Any, tmp_path: Path
) -> None:
    checkpoint = add_checkpoint(
        worker.store, worker.files, make_deberta(tmp_path / "deberta"), "sequence_classification"
    )
    rows, test = make_ticket_rows(20), make_ticket_rows(1, seed=3)
    dataset = add_dataset(worker.store, worker.files, rows, "classification")
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    assert finished(worker.store, index.job_id).state == "succeeded", worker.store.indexes.require(index.id).error
    query = answered(worker.store, submit_query(worker.store, index.id, examples=test))
    truth = oracle_scores(worker, checkpoint, test, rows)
    np.testing.assert_allclose(
        present(worker.store.scores.read(query.id, 1, 20)), truth, atol=1e-4 * np.abs(truth).max()
    )


def test_a_worker_that_died_after_writing_the_record_leaves_no_job_running(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any
) -> None:
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    assert finished(worker.store, index.job_id).state == "succeeded"
    worker.store.connections.state.hset(keys.job(index.job_id), "state", "running")
    send(worker.store, index, "finish_index")
    assert finished(worker.store, index.job_id).state == "succeeded"

"""Indexes with Kronecker factors: from rows to EK-FAC scores, shard by shard, and what is refused or left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.answered import present
from support.oracle import dense_ekfac, loop_factors, loop_gradients
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, reopen_index, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint, make_classifier, poison_word

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.index import GradientSettings, Index
from influence.store import keys
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.building.finish import finish_index
from workers.building.kronecker import KRONECKER, merge_kronecker, read_factors, shard_kronecker
from workers.loading.checkpoint import load_checkpoint
from workers.loading.options import LoadOptions
from workers.runtime.state import Runtime

ROWS = make_ticket_rows(60)
TEST = make_ticket_rows(3, seed=9)


def oracle_scores(runtime: Runtime, checkpoint: Checkpoint) -> Any:
    loaded = load_checkpoint(
        checkpoint,
        runtime.files.adapter(present(checkpoint.adapter_digest)),
        GradientSettings(max_length=64),
        LoadOptions(cache_dir=runtime.files.hub),
    )
    train, test = loop_gradients(loaded, ROWS), loop_gradients(loaded, TEST)
    task, model = loaded.task, loaded.model
    losses = [lambda row=row: task.row_losses(model, task.collate([row]))[0] for row in task.tokenise(ROWS)]
    factors = loop_factors(model, losses)
    weights = [p for name, p in model.named_parameters() if p.requires_grad and not name.endswith("bias")]
    return dense_ekfac(test, train, [factors[id(weight)] for weight in weights])


@pytest.fixture
def cut(server: EmbeddedServer, tmp_path: Path, store: Store) -> Any:
    """A worker whose shards and batches are as small as can be."""
    with running_worker(server.url, tmp_path / "cut", shard_seconds=1e-3, token_budget=64) as runtime:
        yield runtime


def test_scores_equal_the_method_written_out_over_several_shards(
    cut: Runtime, classifier: TinyCheckpoint, finished: Any, answered: Any
) -> None:
    store = cut.store
    checkpoint = add_checkpoint(store, cut.files, classifier, "sequence_classification")
    dataset = add_dataset(store, cut.files, ROWS, "classification")
    submitted = submit_index(store, checkpoint, dataset, storage="full", kronecker=True)
    assert finished(store, submitted.job_id).state == "succeeded", store.indexes.require(submitted.id).error
    index = store.indexes.require(submitted.id)
    assert index.shards == 2
    query = answered(store, submit_query(store, index.id, examples=TEST, method="ekfac", include=["blocks"]))
    truth = oracle_scores(cut, checkpoint)
    np.testing.assert_allclose(present(store.scores.read(query.id, 3, 60)), truth, atol=2e-4 * np.abs(truth).max())
    row = query.results[0].helpful[0]
    assert sum(row.blocks.values()) == pytest.approx(row.influence, rel=1e-3)
    assert not any("Kronecker" in warning for warning in index.warnings)


def test_factors_count_among_the_bytes_and_parts_do_not_outlive_the_build(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any
) -> None:
    built = []
    for kronecker in (False, True):
        index = submit_index(worker.store, checkpoint, dataset, storage="full", kronecker=kronecker)
        assert finished(worker.store, index.job_id).state == "succeeded"
        built.append(worker.store.indexes.require(index.id))
    plain, rich = built
    factors = read_factors(worker.store.index_data, rich)
    assert plain.bytes is not None
    assert rich.bytes == plain.bytes + sum(left.nbytes + right.nbytes for left, right in factors.values())
    assert rich.estimate is not None
    assert rich.estimate["redis_bytes"] > (plain.estimate or {})["redis_bytes"]
    assert worker.store.index_data.read_parts(rich.build, shard_kronecker(0)) == {}
    finish_index(worker, reopen_index(worker.store, rich.id, bytes=None, warnings=()))
    assert worker.store.indexes.require(rich.id).bytes == rich.bytes
    worker.store.index_data.delete(rich.id)
    assert list(worker.store.connections.state.scan_iter(match=keys.build_pattern(rich.id))) == []


def test_rows_that_are_left_out_do_not_enter_the_factors(
    cut: Runtime, tmp_path: Path, finished: Callable[..., Any]
) -> None:
    poisoned = make_classifier(tmp_path / "poisoned")
    poison_word(poisoned, "crash")
    checkpoint = add_checkpoint(cut.store, cut.files, poisoned, "sequence_classification")
    good = [row for row in ROWS if "crash" not in row["text"].split()]
    found = []
    for rows in (ROWS, good):
        dataset = add_dataset(cut.store, cut.files, rows, "classification")
        index = submit_index(cut.store, checkpoint, dataset, storage="full", kronecker=True, on_non_finite="skip")
        assert finished(cut.store, index.job_id).state == "succeeded"
        found.append(read_factors(cut.store.index_data, cut.store.indexes.require(index.id)))
    assert 0 < len(good) < len(ROWS)
    assert set(found[0]) == set(found[1])
    for name, pair in found[0].items():
        for side, expected in zip(pair, found[1][name], strict=True):
            np.testing.assert_allclose(side, expected, atol=1e-5 * np.abs(expected).max())


def test_blocks_without_factors_are_named_and_answer_by_their_diagonal(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any, answered: Any
) -> None:
    gradients = {"max_length": 64, "include_bias": True}
    index = submit_index(worker.store, checkpoint, dataset, storage="full", kronecker=True, gradients=gradients)
    assert finished(worker.store, index.job_id).state == "succeeded"
    (warning,) = [text for text in worker.store.indexes.require(index.id).warnings if "Kronecker" in text]
    assert "1 blocks" in warning
    assert "classifier.bias" in warning
    query = answered(worker.store, submit_query(worker.store, index.id, examples=TEST, method="ekfac"))
    assert np.isfinite(present(worker.store.scores.read(query.id, 3, 60))).all()


@pytest.fixture
def built(worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any) -> Callable[..., Index]:
    def build(**fields: Any) -> Index:
        index = submit_index(worker.store, checkpoint, dataset, storage="full", **fields)
        assert finished(worker.store, index.job_id).state == "succeeded"
        return worker.store.indexes.require(index.id)

    return build


def test_an_index_built_without_factors_refuses(worker: Runtime, built: Any, finished: Any) -> None:
    query = submit_query(worker.store, built().id, examples=TEST, method="ekfac")
    error = finished(worker.store, query.job_id).error
    assert error["code"] == "method_not_offered"
    assert "kronecker true" in error["hint"]


def test_factors_that_are_lost_are_an_error_not_a_score(worker: Runtime, built: Any, finished: Any) -> None:
    index = built(kronecker=True)
    worker.store.connections.state.delete(keys.index_state(index.build, f"{KRONECKER}.left-0", 0))
    query = submit_query(worker.store, index.id, examples=TEST, method="ekfac")
    error = finished(worker.store, query.job_id).error
    assert error["code"] == "method_not_offered"
    assert "lost" in error["detail"]


def test_factors_are_added_up_while_another_run_removes_what_shards_left(worker: Runtime, built: Any) -> None:
    index, data = built(kronecker=True), worker.store.index_data
    factors = data.read_parts(index.build, KRONECKER)
    data.write_parts(index.build, shard_kronecker(0), factors)
    for name in factors:
        worker.store.connections.state.delete(keys.index_state(index.build, f"{shard_kronecker(0)}.{name}", 0))
    merged = merge_kronecker(worker, index).pack()
    assert {name: array.tobytes() for name, array in merged.items()} == {
        name: array.tobytes() for name, array in factors.items()
    }


def test_a_lost_shard_is_computed_again_and_counts_once(worker: Runtime, built: Any, answered: Any) -> None:
    index = built(kronecker=True)
    before = read_factors(worker.store.index_data, index)
    worker.store.connections.cache.delete(keys.gradients(index.build, 0, 1, 0))
    answered(worker.store, submit_query(worker.store, index.id, examples=TEST, method="ekfac"))
    assert worker.store.index_data.read_parts(index.build, shard_kronecker(0)) == {}
    after = read_factors(worker.store.index_data, index)
    assert all(np.array_equal(left, after[name][0]) for name, (left, _) in before.items())

"""The baseline `embedding`: cosine similarity of mean-pooled last hidden states, kept beside an index."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.answered import present
from support.rows import make_completion_rows, make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index, submit_query
from support.tiny import TinyCheckpoint, make_causal

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.index import GradientSettings, Index
from influence.contracts.job import Job
from influence.contracts.query import Query
from influence.evaluating.agreement import spearman
from influence.store import keys
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.baselines.embedding_pieces import EMBEDDINGS
from workers.loading.checkpoint import load_checkpoint
from workers.loading.options import LoadOptions
from workers.runtime.state import Runtime

TEST = make_ticket_rows(3, seed=9)
WIDTH = 32
Answered = Callable[[Store, Query], Query]
Finished = Callable[[Store, str], Job]


def embed_one_by_one(runtime: Runtime, checkpoint: Checkpoint, rows: list[dict[str, Any]]) -> Any:
    """Unit embeddings in float64, a row at a time, from the whole model's own hidden states."""
    loaded = load_checkpoint(
        checkpoint,
        runtime.files.adapter(present(checkpoint.adapter_digest)),
        GradientSettings(max_length=64),
        LoadOptions(cache_dir=runtime.files.hub),
    )
    model, found = loaded.model.double(), []
    for row in loaded.task.tokenise(rows):
        with torch.no_grad():
            output = model(**loaded.task.collate([row]).inputs, output_hidden_states=True)
        vector = output.hidden_states[-1][0].mean(dim=0).numpy()
        found.append(vector / np.linalg.norm(vector))
    return np.stack(found)


@pytest.fixture
def index(worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Finished) -> Index:
    made = submit_index(worker.store, checkpoint, dataset, storage="compact", rank=4)
    assert finished(worker.store, made.job_id).state == "succeeded"
    return worker.store.indexes.require(made.id)


def ask(runtime: Runtime, index_id: str, answered: Answered, **fields: Any) -> tuple[Query, Any]:
    query = answered(runtime.store, submit_query(runtime.store, index_id, method="embedding", **fields))
    scores = runtime.store.scores.read(query.id, len(query.results or ()), query.rows_scored or 0)
    return query, scores


def test_scores_are_cosine_similarities_and_say_that_they_are_no_influence(
    worker: Runtime, checkpoint: Checkpoint, index: Index, answered: Answered
) -> None:
    query, influence = ask(worker, index.id, answered, examples=TEST, k=4)
    train, test = (embed_one_by_one(worker, checkpoint, rows) for rows in (make_ticket_rows(60), TEST))
    np.testing.assert_allclose(influence, -test @ train.T, atol=2e-3)
    assert query.notes[0].startswith("Baseline, not an influence: ")
    assert (query.damping_scale, query.fidelity) == (None, None)
    for result, similarity in zip(query.results or (), -influence, strict=True):
        assert result.predicted_label is not None
        assert result.loss > 0
        assert [row.row_index for row in result.helpful] == np.argsort(-similarity, kind="stable")[:4].tolist()
        assert result.helpful[0].score == -result.helpful[0].influence == pytest.approx(similarity.max())


def test_a_mean_is_the_mean_similarity(worker: Runtime, index: Index, answered: Answered) -> None:
    _, each = ask(worker, index.id, answered, examples=TEST)
    _, mean = ask(worker, index.id, answered, examples=TEST, aggregate="mean")
    np.testing.assert_allclose(mean[0], each.mean(axis=0), atol=1e-6)


def test_language_models_have_embeddings_too(
    worker: Runtime, finished: Finished, answered: Answered, tmp_path: Path
) -> None:
    checkpoint = add_checkpoint(worker.store, worker.files, make_causal(tmp_path / "causal"), "causal_lm")
    rows, test = make_completion_rows(20), make_completion_rows(2, seed=7)
    dataset = add_dataset(worker.store, worker.files, rows, "completion")
    index = submit_index(worker.store, checkpoint, dataset, storage="full")
    assert finished(worker.store, index.job_id).state == "succeeded"
    _, influence = ask(worker, index.id, answered, examples=test)
    truth = embed_one_by_one(worker, checkpoint, test) @ embed_one_by_one(worker, checkpoint, rows).T
    np.testing.assert_allclose(influence, -truth, atol=2e-3)


def test_embeddings_are_kept_counted_and_computed_again_where_lost(
    worker: Runtime, index: Index, answered: Answered
) -> None:
    _, before = ask(worker, index.id, answered, examples=TEST)
    known = worker.store.indexes.require(index.id)
    assert known.embedding_bytes == 60 * WIDTH * 2
    assert known.bytes == (index.bytes or 0) + known.embedding_bytes
    worker.hot_indexes.forget(index.id)
    name = keys.row_state(index.build, 0, f"{EMBEDDINGS}-0", 0)
    worker.store.connections.state.setrange(name, 100, b"junk")
    _, after = ask(worker, index.id, answered, examples=TEST)
    np.testing.assert_allclose(after, before, atol=2e-3)
    assert worker.store.indexes.require(index.id).bytes == known.bytes
    worker.store.index_data.delete(index.id)
    assert not worker.store.connections.state.exists(name)


def test_rows_are_embedded_in_turns(
    worker: Runtime, checkpoint: Checkpoint, index: Index, answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.runtime.time_slices.SLICE_SECONDS", -1.0)
    monkeypatch.setattr("workers.baselines.embedding_pieces.PIECE_ROWS", 16)
    query, influence = ask(worker, index.id, answered, examples=TEST)
    pattern = keys.row_state(index.build, 0, EMBEDDINGS, 0).removesuffix(":0") + "-*"
    assert len(list(worker.store.connections.state.scan_iter(match=pattern))) == 4
    truth = embed_one_by_one(worker, checkpoint, TEST) @ embed_one_by_one(worker, checkpoint, make_ticket_rows(60)).T
    np.testing.assert_allclose(influence, -truth, atol=2e-3)
    job = worker.store.jobs.require(query.job_id)
    assert (job.progress.phase, job.progress.total) == ("embeddings", 60)


def test_embeddings_that_exceed_the_budget_are_refused(
    server: EmbeddedServer, store: Store, tmp_path: Path, classifier: TinyCheckpoint, finished: Finished
) -> None:
    with running_worker(server.url, tmp_path / "data") as worker:
        checkpoint = add_checkpoint(store, worker.files, classifier, "sequence_classification")
        dataset = add_dataset(store, worker.files, make_ticket_rows(60), "classification")
        index = submit_index(store, checkpoint, dataset, storage="full")
        finished(store, index.job_id)
        size = store.indexes.require(index.id).bytes or 0
    with running_worker(server.url, tmp_path / "data", storage_budget_bytes=size + 60 * WIDTH * 2 - 1):
        job = finished(store, submit_query(store, index.id, examples=TEST, method="embedding").job_id)
    assert job.error is not None
    assert (job.error["code"], job.error["needed_bytes"]) == ("does_not_fit", 60 * WIDTH * 2)
    assert store.indexes.require(index.id).bytes == size


def test_what_similarity_would_have_shown_rides_along(
    worker: Runtime, dataset: Dataset, index: Index, answered: Answered
) -> None:
    beside = answered(worker.store, submit_query(worker.store, index.id, examples=TEST, k=4, compare=("embedding",)))
    alone, similarity = ask(worker, index.id, answered, examples=TEST, k=4)
    influence = present(worker.store.scores.read(beside.id, len(TEST), beside.rows_scored or 0))
    for number, (result, plain) in enumerate(zip(beside.results or (), alone.results or (), strict=True)):
        (compared,) = present(result.compared)
        assert plain.compared is None
        assert [row.row_index for row in compared.rows] == [row.row_index for row in plain.helpful]
        assert [row.score for row in compared.rows] == pytest.approx([row.score for row in plain.helpful], abs=1e-5)
        best = set(np.argsort(influence[number], kind="stable")[:4].tolist())
        assert compared.overlap == len(best & {row.row_index for row in compared.rows}) / 4
        assert compared.spearman == pytest.approx(spearman(influence[number], similarity[number]), abs=1e-3)
        assert (compared.method, beside.method) == ("embedding", "datainf")


def test_a_mean_of_test_points_and_whole_gradients_are_compared_too(
    worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Finished, answered: Answered
) -> None:
    whole = submit_index(worker.store, checkpoint, dataset, storage="full")
    assert finished(worker.store, whole.job_id).state == "succeeded"
    asked = submit_query(
        worker.store, whole.id, examples=TEST, k=100, order="harmful", aggregate="mean", compare=("embedding",)
    )
    (result,) = present(answered(worker.store, asked).results)
    (compared,) = present(result.compared)
    assert (result.helpful, len(compared.rows), compared.overlap) == ((), 60, 1.0)

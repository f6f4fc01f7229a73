"""Queries that wait together go through the model in one pass, and each is answered as if it were alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs
from support.answered import present
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker, submit_index, submit_query
from support.tiny import WORDS, TinyCheckpoint

from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from influence.store.work import cancel, delete
from workers.runtime.open import open_model
from workers.runtime.state import Runtime

ROWS = 60
POINTS = [[row] for row in make_ticket_rows(5, seed=9)]
PASS = "rows went through the model"

Answered = Callable[[Store, Query], Query]


@pytest.fixture(params=["full", "compact"])
def index(request: pytest.FixtureRequest, worker: Runtime, checkpoint: Any, dataset: Any, finished: Any) -> Index:
    made = submit_index(worker.store, checkpoint, dataset, storage=request.param)
    assert finished(worker.store, made.job_id).state == "succeeded"
    return worker.store.indexes.require(made.id)


@pytest.fixture
def build(store: Store, classifier: TinyCheckpoint, finished: Any) -> Callable[[Runtime], Index]:
    """Build an index of whole gradients by a worker that a test started itself."""

    def make(worker: Runtime) -> Index:
        checkpoint = add_checkpoint(store, worker.files, classifier, "sequence_classification")
        dataset = add_dataset(store, worker.files, make_ticket_rows(ROWS), "classification")
        index = submit_index(store, checkpoint, dataset, storage="full")
        finished(store, index.job_id)
        return index

    return make


@contextmanager
def held_back(runtime: Runtime, index: Index, count: int, wait_until: Callable[..., None]) -> Iterator[None]:
    """Whoever asks in this block waits for the device until `count` of them do."""
    passes = open_model(runtime, index).passes.gradients
    with runtime.device_lock:
        yield
        wait_until(lambda: passes.waiting == count, f"{count} queries wait for the model")


def ask(runtime: Runtime, index: Index, points: Any, **fields: Any) -> Query:
    return submit_query(runtime.store, index.id, examples=points, k=3, exact=False, **fields)


def read_scores(store: Store, query: Query, points: int = 1) -> Any:
    return present(store.scores.read(query.id, points, ROWS))


def test_waiting_queries_share_one_pass_and_are_answered_as_alone(
    worker: Runtime, index: Index, answered: Answered, wait_until: Callable[..., None]
) -> None:
    store = worker.store
    alone = [answered(store, ask(worker, index, points)) for points in POINTS]
    worker.kept_points.forget(index.id)
    with capture_logs() as logs:
        with held_back(worker, index, len(POINTS), wait_until):
            queries = [ask(worker, index, points) for points in POINTS]
        together = [answered(store, query) for query in queries]
    assert [(entry["queries"], entry["rows"]) for entry in logs if entry["event"] == PASS] == [(5, 5)]
    for one, other in zip(alone, together, strict=True):
        truth = read_scores(store, one)
        # Codes round the query vector to a byte: what differs by a last digit may round the other way.
        tolerance = 1e-5 if index.spec.storage == "full" else 1e-2
        np.testing.assert_allclose(read_scores(store, other), truth, rtol=0, atol=tolerance * np.abs(truth).max())
        (expected,), (found,) = present(one.results), present(other.results)
        assert (found.example, found.predicted_label) == (expected.example, expected.predicted_label)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
        assert found.base_loss == pytest.approx(expected.base_loss, rel=1e-5)
        assert found.predicted_probability == pytest.approx(expected.predicted_probability, rel=1e-5)


def test_rows_that_are_looked_at_closely_share_passes_too(
    worker: Runtime, checkpoint: Any, dataset: Any, finished: Any, answered: Answered, wait_until: Callable[..., None]
) -> None:
    store = worker.store
    index = submit_index(store, checkpoint, dataset, storage="compact")
    finished(store, index.job_id)
    fields: dict[str, Any] = {"examples": POINTS[0], "k": 1, "exact": True}
    alone = answered(store, submit_query(store, index.id, **fields))
    worker.gradient_cache.forget(index.id)
    with held_back(worker, index, 2, wait_until):
        queries = [submit_query(store, index.id, **fields) for _ in range(2)]
    for query in queries:
        answer = answered(store, query)
        (expected,), (found,) = present(alone.results), present(answer.results)
        assert [row.row_index for row in found.helpful] == [row.row_index for row in expected.helpful]
        assert all(row.exact for row in found.helpful)
        assert found.helpful[0].score == pytest.approx(expected.helpful[0].score, rel=1e-4)


def test_a_query_that_is_cancelled_or_deleted_meanwhile_leaves_the_others_alone(
    worker: Runtime, index: Index, answered: Answered, wait_until: Callable[..., None]
) -> None:
    store = worker.store
    with held_back(worker, index, 4, wait_until):
        kept, cancelled, deleted, last = (ask(worker, index, points) for points in POINTS[:4])
        wait_until(lambda: open_model(worker, index).passes.gradients.waiting == 4, "all wait")
        cancel(store, cancelled.job_id)
        delete(store, deleted)
    assert [answered(store, query).state for query in (kept, last)] == ["succeeded"] * 2
    assert store.queries.require(cancelled.id).state == "cancelled"
    assert store.queries.find(deleted.id) is None


def test_a_query_whose_gradients_are_no_numbers_fails_alone(
    worker: Runtime, index: Index, answered: Answered, finished: Any, wait_until: Callable[..., None]
) -> None:
    store, model = worker.store, open_model(worker, index).model
    token = WORDS.index("crash") + 5
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight  # type: ignore[operator]
        assert embeddings.shape[0] > token
        embeddings[token] = torch.nan
    good = [{"text": "refund my card", "label": 0}]
    with held_back(worker, index, 3, wait_until):
        first, bad, last = (ask(worker, index, points) for points in (good, [{"text": "crash", "label": 1}], good))
    assert [answered(store, query).state for query in (first, last)] == ["succeeded"] * 2
    assert finished(store, bad.job_id).state == "failed"
    assert present(store.queries.require(bad.id).error)["code"] == "non_finite_gradients"


def test_a_worker_that_ends_with_queries_in_hand_leaves_them_to_the_next(
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    build: Callable[[Runtime], Index],
    answered: Answered,
    wait_until: Callable[..., None],
) -> None:
    with running_worker(server.url, tmp_path / "data") as first:
        index = build(first)
        with held_back(first, index, len(POINTS), wait_until):
            queries = [ask(first, index, points) for points in POINTS]
            wait_until(lambda: open_model(first, index).passes.gradients.waiting == len(POINTS), "all wait")
            first.stopping.set()
    with running_worker(server.url, tmp_path / "data"):
        assert [answered(store, query).state for query in queries] == ["succeeded"] * len(POINTS)


def test_queries_are_computed_one_by_one_where_that_is_asked_for(
    server: EmbeddedServer,
    store: Store,
    tmp_path: Path,
    build: Callable[[Runtime], Index],
    answered: Answered,
    wait_until: Callable[..., None],
) -> None:
    with running_worker(server.url, tmp_path / "data", query_batch=1) as worker:
        index = build(worker)
        with capture_logs() as logs:
            with held_back(worker, index, 2, wait_until):
                queries = [ask(worker, index, points) for points in POINTS]
            for query in queries:
                answered(store, query)
    assert [entry["queries"] for entry in logs if entry["event"] == PASS] == [1] * len(POINTS)

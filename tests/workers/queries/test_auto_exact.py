"""`exact: auto`: true gradients while they are quick, codes where they turn out not to be."""

from typing import Any

import pytest
from support.answered import present
from support.rows import make_ticket_rows
from support.service import add_dataset, submit_index, submit_query

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import Index
from influence.contracts.query import Query
from workers.queries import rerank
from workers.runtime.state import Runtime

TEST = make_ticket_rows(1, seed=9)


@pytest.fixture
def index(worker: Runtime, checkpoint: Checkpoint, finished: Any) -> Index:
    """A compact index whose record says that gradients take no time."""
    dataset = add_dataset(worker.store, worker.files, make_ticket_rows(400), "classification")
    made = submit_index(worker.store, checkpoint, dataset, storage="compact", rank=4)
    assert finished(worker.store, made.job_id).state == "succeeded", worker.store.indexes.require(made.id).error
    wrong = {"rows_per_second": 1e9}
    return worker.store.indexes.update(made.id, lambda found: found.model_copy(update={"timings": wrong}))


def are_exact(query: Query) -> set[bool]:
    return {row.exact for result in present(query.results) for row in (*result.helpful, *result.harmful)}


def test_an_estimate_that_was_wrong_stops_the_work_and_codes_answer(
    worker: Runtime, index: Index, answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerank, "AUTO_SECONDS", 1e-6)  # longer than was estimated, shorter than any batch takes
    found = answered(worker.store, submit_query(worker.store, index.id, examples=TEST, k=40))
    (note,) = [note for note in found.notes if note.startswith("Scores come from codes;")]
    assert "were estimated to take 0.0 s" in note
    assert "send exact true" in note
    assert are_exact(found) == {False}
    # What was seen is remembered: the next question is not begun in vain.
    assert 0 < present(worker.gradient_cache.rate(index)) < 1e6
    again = answered(worker.store, submit_query(worker.store, index.id, examples=TEST, k=40))
    assert any("would take about" in note for note in again.notes)


def test_who_asks_for_exact_scores_waits_for_them(
    worker: Runtime, index: Index, answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerank, "AUTO_SECONDS", 1e-6)
    found = answered(worker.store, submit_query(worker.store, index.id, examples=TEST, k=40, exact=True))
    assert are_exact(found) == {True}


def test_gradients_that_are_quick_are_taken(
    worker: Runtime, index: Index, answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerank, "AUTO_SECONDS", 1e6)
    assert are_exact(answered(worker.store, submit_query(worker.store, index.id, examples=TEST, k=40))) == {True}

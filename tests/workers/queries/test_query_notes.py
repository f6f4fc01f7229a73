"""Notes of a query: what the API noted stays, what an answer noted goes with that answer."""

from typing import Any

import pytest
from support.rows import make_ticket_rows
from support.service import submit_index, submit_query

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.index import Index
from influence.errors import Cancelled
from workers.queries import answer, contributions
from workers.queries.answer import answer_query
from workers.runtime.state import Runtime

NOTED = ("Method 'hessian_free' has no damping; damping_scale had no effect.",)
PRELIMINARY = "Scores from true gradients are being computed."
QUESTION: dict[str, Any] = {
    "examples": make_ticket_rows(1, seed=9),
    "method": "hessian_free",
    "damping_scale": 2.0,
    "k": 3,
}


@pytest.fixture
def index(worker: Runtime, checkpoint: Checkpoint, dataset: Dataset, finished: Any) -> Index:
    made = submit_index(worker.store, checkpoint, dataset, storage="compact")
    assert finished(worker.store, made.job_id).state == "succeeded"
    return worker.store.indexes.require(made.id)


def test_what_the_api_noted_stands_beside_the_answers_own_notes(worker: Runtime, index: Index, answered: Any) -> None:
    exact = answered(worker.store, submit_query(worker.store, index.id, notes=NOTED, exact=True, **QUESTION))
    assert exact.notes == NOTED
    codes = answered(worker.store, submit_query(worker.store, index.id, notes=NOTED, exact=False, **QUESTION))
    assert codes.notes[:1] == NOTED
    assert "send exact true" in codes.notes[1]
    with pytest.raises(Cancelled):
        answer_query(worker, codes)  # a message that comes twice
    assert worker.store.queries.require(codes.id).notes == codes.notes


def test_a_preliminary_note_goes_with_its_answer(
    worker: Runtime, index: Index, answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, contribute = list[Any](), contributions.block_contributions

    def look(*arguments: Any) -> Any:
        seen.extend(found.notes for found in worker.store.queries.all())
        return contribute(*arguments)

    monkeypatch.setattr(answer, "AUTO_SECONDS", -1.0)
    monkeypatch.setattr(answer, "block_contributions", look)
    query = answered(worker.store, submit_query(worker.store, index.id, notes=NOTED, exact=True, **QUESTION))
    assert seen == [(*NOTED, PRELIMINARY)]
    assert query.notes == NOTED


def test_also_where_a_worker_died_between_the_two(worker: Runtime, index: Index, answered: Any) -> None:
    query = answered(worker.store, submit_query(worker.store, index.id, notes=NOTED, exact=True, **QUESTION))
    left = {"state": "running", "notes": (*NOTED, PRELIMINARY)}
    again = worker.store.queries.update(query.id, lambda found: found.model_copy(update=left))
    answer_query(worker, again)
    assert worker.store.queries.require(query.id).notes == NOTED

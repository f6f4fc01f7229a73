"""A few lives of work beside a model of them; `make lives` takes it through thousands."""

from contextlib import suppress

import pytest
from support.work import make_work

from harness.lives import CutOff, Fuse, run_lives
from influence.contracts.work import INDEX
from influence.store.jobs.jobs import Jobs
from influence.store.store import Store


@pytest.mark.leaks
def test_no_order_of_steps_loses_doubles_or_leaves_anything(store: Store) -> None:
    run_lives(store, seed_of_run=16, lives=25, steps=15)


@pytest.mark.leaks
def test_lives_tell_a_store_that_lets_the_dead_rise(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    move = Jobs._move
    monkeypatch.setattr(
        Jobs, "_move", lambda self, job_id, _, fields: move(self, job_id, "queued,running,cancelled", fields)
    )
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run_lives(store, seed_of_run=16, lives=60, steps=25)


@pytest.mark.parametrize("calls", range(4))
def test_a_job_is_whole_or_not_there_at_all(store: Store, calls: int) -> None:
    index, fuse = make_work(INDEX), Fuse(store.connections.state, left=calls)
    with suppress(CutOff):
        store.jobs.create(index.job_id, "index", index.id, "/v1/indexes/x")
    fuse.left = None
    listed = [job.id for job in store.jobs.page(limit=9).data]
    assert listed == [job.id for job in store.jobs.open()] == ([index.job_id] if store.jobs.find(index.job_id) else [])

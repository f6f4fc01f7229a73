"""Keys that nobody would remove are found, and what belongs to a record, or ends by itself, is not taken for one."""

from typing import Any

import numpy as np
import pytest
from support.trials.leaks import Kept
from support.work import make_work, write_data

from influence.contracts.work import INDEX, QUERY, WORK_KINDS, WorkKind
from influence.store import keys, work
from influence.store.store import Store


@pytest.mark.parametrize("kind", WORK_KINDS, ids=lambda kind: kind.name)
def test_work_of_every_kind_leaks_nothing_at_any_moment(store: Store, kind: WorkKind[Any]) -> None:
    made = work.accept(store, make_work(kind))
    write_data(store, made)
    assert Kept(store).leaks() == []
    work.finish(store, made, lambda current: current)
    assert Kept(store).leaks() == []
    work.delete(store, store.work[kind.name].require(made.id))
    assert Kept(store).leaks() == []


def test_a_name_that_no_record_has_is_a_leak(store: Store) -> None:
    store.connections.state.set("datainf:strange:thing:1", "1")
    store.connections.state.set("elsewhere", "1")
    assert Kept(store).leaks() == ["datainf:strange:thing:1", "elsewhere"]


def test_scores_whose_query_is_gone_are_a_leak(store: Store) -> None:
    made = work.accept(store, make_work(QUERY))
    store.scores.write(made.id, np.ones((1, 30), np.float32))
    store.queries.delete(made.id)
    assert Kept(store).leaks() == [keys.query_scores(made.id, 0)]


def test_data_of_another_build_are_a_leak(store: Store) -> None:
    made = work.accept(store, make_work(INDEX))
    store.index_data.write_rows(f"{made.id}.job_elsewhere", 0, "norms", np.ones((2, 3), np.float32))
    write_data(store, made)
    assert Kept(store).leaks() == [keys.row_state(f"{made.id}.job_elsewhere", 0, "norms", 0)]


def test_a_job_that_is_over_and_has_no_end_is_a_leak(store: Store) -> None:
    made = work.accept(store, make_work(QUERY))
    store.connections.state.srem(keys.open_jobs(), made.job_id)
    assert Kept(store).leaks() == [keys.job(made.job_id)]


def test_a_record_that_no_listing_has_is_a_leak(store: Store) -> None:
    made = work.accept(store, make_work(QUERY))
    store.connections.state.zrem(keys.listing("query"), made.id)
    assert Kept(store).leaks() == [keys.record("query", made.id)]

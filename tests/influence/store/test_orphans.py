"""What was written for work that is gone, by a worker that was killed before it could clear up, does not stay."""

from typing import Any

import numpy as np
import pytest
from support.work import keys_about, make_work, write_data

from influence.contracts.common import now
from influence.contracts.curation.review import DecisionChange
from influence.contracts.curation.webhook import EVENTS, Webhook
from influence.contracts.work import AUDIT, EVALUATION, GROUPS, INDEX, QUERY, WORK_KINDS, WorkKind
from influence.store import keys, work
from influence.store.ending.orphans import LOOK_SECONDS, MIN_AGE_SECONDS, remove_orphans
from influence.store.store import Store

every_kind = pytest.mark.parametrize("kind", WORK_KINDS, ids=lambda kind: kind.name)
keeping_kind = pytest.mark.parametrize("kind", [INDEX, QUERY, AUDIT, EVALUATION, GROUPS], ids=lambda kind: kind.name)
ROWS = np.ones((2, 3), np.float32)
#: A moment, in seconds since 1970; the tests look from here on.
START = 1e9


def look(store: Store, seconds: float = 0.0) -> list[str]:
    return remove_orphans(store, now=START + seconds)


def look_until_old(store: Store) -> list[str]:
    """At the beginning, and when what was found then has its age."""
    assert look(store) == []
    return look(store, MIN_AGE_SECONDS)


@keeping_kind
def test_data_written_after_their_work_was_deleted_go_when_they_are_old(store: Store, kind: WorkKind[Any]) -> None:
    made = work.accept(store, make_work(kind))
    work.delete(store, made)
    assert keys_about(store, made.id) == []
    write_data(store, made)  # as a worker does that is killed before it looks whether that is still wanted
    assert keys_about(store, made.id) != []
    assert look(store) == []
    assert look(store, LOOK_SECONDS) == []
    assert look(store, MIN_AGE_SECONDS - 1) == []
    assert keys_about(store, made.id) != []
    assert look(store, MIN_AGE_SECONDS + LOOK_SECONDS) == [made.data_id]
    assert keys_about(store, made.id) == []
    assert store.connections.state.zrange(keys.orphans(), 0, -1) == [b"looked"]


@every_kind
@pytest.mark.parametrize("state", ["queued", "succeeded", "damaged"])
def test_data_of_what_is_there_stay_however_old(store: Store, kind: WorkKind[Any], state: str) -> None:
    made = work.accept(store, make_work(kind))
    write_data(store, made)
    if state == "succeeded":
        work.finish(store, made, lambda current: current)
    elif state == "damaged":
        store.connections.state.set(keys.record(kind.name, made.id), b"no JSON")
    before = keys_about(store, made.id)
    assert look_until_old(store) == []
    assert look(store, 100 * MIN_AGE_SECONDS) == []
    assert keys_about(store, made.id) == before


def test_another_build_of_an_index_goes_and_its_own_stays(store: Store) -> None:
    made = work.accept(store, make_work(INDEX))
    write_data(store, made)
    own = keys_about(store, made.id)
    store.jobs.create("job_old", "index", made.id, INDEX.path(made.id))
    store.jobs.cancel("job_old")
    other = f"{made.id}.job_old"
    store.index_data.write_rows(other, 0, "norms", ROWS)
    store.index_data.write_gradients(other, 0, 0, ROWS)
    store.index_data.write_parts(other, "basis", {"q": ROWS})
    assert look_until_old(store) == [other]
    assert keys_about(store, made.id) == own


def test_what_a_job_at_work_writes_stays(store: Store) -> None:
    made = work.accept(store, make_work(INDEX))
    store.jobs.create("job_other", "index", made.id, INDEX.path(made.id))
    store.index_data.write_rows(f"{made.id}.job_other", 0, "norms", ROWS)
    store.index_data.write_rows("idx_gone.job_other", 0, "norms", ROWS)
    assert look_until_old(store) == []
    store.jobs.cancel("job_other")
    assert look(store, 2 * MIN_AGE_SECONDS) == []  # a job that ended now: its age begins
    assert sorted(look(store, 3 * MIN_AGE_SECONDS)) == sorted([f"{made.id}.job_other", "idx_gone.job_other"])


def test_a_shard_that_somebody_holds_keeps_its_build(store: Store) -> None:
    store.index_data.write_rows("idx_gone.job_gone", 0, "norms", ROWS)
    assert store.index_data.claim_repair("idx_gone.job_gone", 0, "w1")
    assert look_until_old(store) == []
    store.index_data.release_repair("idx_gone.job_gone", 0, "w1")
    assert look(store, 2 * MIN_AGE_SECONDS) == []
    assert look(store, 3 * MIN_AGE_SECONDS) == ["idx_gone.job_gone"]


def test_what_gets_a_record_in_time_is_spared_and_its_age_begins_anew(store: Store) -> None:
    made = make_work(QUERY)
    write_data(store, made)
    assert look(store) == []
    work.accept(store, made)
    assert look(store, LOOK_SECONDS) == []
    store.queries.delete(made.id)
    assert look(store, MIN_AGE_SECONDS) == []
    assert look(store, 2 * MIN_AGE_SECONDS) == [made.id]


def test_a_report_about_a_job_that_was_removed_goes(store: Store) -> None:
    store.jobs.create("job_a", "query", "qry_a", "/v1/queries/qry_a")
    store.jobs.create("job_b", "query", "qry_b", "/v1/queries/qry_b")
    store.jobs.delete("job_a")
    for job_id in ("job_a", "job_b"):
        store.jobs.set_done(job_id, 3)
    assert look_until_old(store) == ["job_a"]
    assert store.jobs.find("job_b") is not None


def test_what_an_api_left_that_was_killed_goes(store: Store) -> None:
    store.review_data.change("rev_gone", [DecisionChange(row_index=1, action="keep")], by=None, known=None)
    store.webhook_data.keep_secret("hook_gone", "whsec_x")
    store.webhooks.create(Webhook(id="hook_here", url="https://hooks.example", events=EVENTS, created_at=now()))
    store.webhook_data.keep_secret("hook_here", "whsec_x")
    assert sorted(look_until_old(store)) == ["hook_gone", "rev_gone"]
    assert store.webhook_data.secret("hook_here") == "whsec_x"


def test_keys_of_no_kind_of_ours_stay(store: Store) -> None:
    state = store.connections.state
    store.workers.announce("gpu_1.example:query", {"name": "gpu_1.example"})
    for name in ("datainf:strange_1:thing", "datainf:{other_1}:x", "else_1:x", "{idx_1.job_1.0}:norms:0"):
        state.set(name, "1")
    store.idempotency.begin("pending")
    before = set(state.scan_iter())
    assert look_until_old(store) == []
    assert set(state.scan_iter()) - {keys.orphans().encode()} == before


def test_of_many_workers_one_looks_at_a_time(store: Store) -> None:
    store.scores.write("qry_gone", ROWS)
    look(store)
    line = store.connections.state.zscore(keys.orphans(), "qry_gone")
    look(store, LOOK_SECONDS / 2)
    store.scores.write("qry_later", ROWS)
    assert look(store, LOOK_SECONDS - 1) == []
    assert store.connections.state.zscore(keys.orphans(), "qry_later") is None
    look(store, LOOK_SECONDS)
    assert store.connections.state.zscore(keys.orphans(), "qry_later") is not None
    assert store.connections.state.zscore(keys.orphans(), "qry_gone") == line

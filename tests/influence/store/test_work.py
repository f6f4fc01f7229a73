"""Long work of every kind: accepted, finished, failed, cancelled and deleted by the same few functions."""

from typing import Any

import pytest
from support.work import keys_about, lifetime_of, make_work, write_data

from influence.contracts.work import AUDIT, EVALUATION, INDEX, QUERY, QUEUES, WORK_KINDS, WorkKind
from influence.errors import Cancelled
from influence.store import keys, work
from influence.store.connections import StoreError
from influence.store.store import Store

AnyKind = WorkKind[Any]
PROBLEM = {"code": "rows_unfit", "status": 422, "detail": "Row 't1' is odd."}
every_kind = pytest.mark.parametrize("kind", WORK_KINDS, ids=lambda kind: kind.name)


def has_its_lifetime(store: Store, kind: AnyKind, record_id: str) -> bool:
    if kind.lifetime_seconds is None:
        return lifetime_of(store, kind.name, record_id) is None
    return lifetime_of(store, kind.name, record_id) == pytest.approx(kind.lifetime_seconds, abs=600)


@every_kind
def test_accepted_work_is_a_job_a_record_and_a_message(store: Store, kind: AnyKind) -> None:
    made = make_work(kind)
    assert work.accept(store, made) == made
    job = store.jobs.require(made.job_id)
    assert (job.kind, job.state, job.resource) == (kind.name, "queued", f"/v1/{kind.collection}/{made.id}")
    assert store.work[kind.name].require(made.id) == made
    waiting = [(queue, message) for queue in QUEUES for message in store.queue.waiting(queue)]
    assert waiting == [(kind.queue, work.address(store, made))]


@every_kind
def test_the_job_comes_before_the_record_and_the_message_after_it(store: Store, kind: AnyKind) -> None:
    made = make_work(kind)
    store.connections.state.hset(keys.record(kind.name, made.id), "in", "the way")
    with pytest.raises(StoreError):
        work.accept(store, made)
    assert store.jobs.require(made.job_id).state == "queued"
    assert [store.queue.waiting(queue) for queue in QUEUES] == [[], []]


@every_kind
def test_finished_work_succeeds_and_its_lifetime_begins(store: Store, kind: AnyKind) -> None:
    made = work.accept(store, make_work(kind))
    work.finish(store, made, lambda current: current)
    assert store.work[kind.name].require(made.id).state == store.jobs.state(made.job_id) == "succeeded"
    assert has_its_lifetime(store, kind, made.id)


@every_kind
def test_failed_work_says_why_and_leaves_no_data(store: Store, kind: AnyKind) -> None:
    made = work.accept(store, make_work(kind))
    write_data(store, made)
    work.fail(store, made, PROBLEM)
    found, job = store.work[kind.name].require(made.id), store.jobs.require(made.job_id)
    assert (found.state, found.error, job.state, job.error) == ("failed", PROBLEM, "failed", PROBLEM)
    assert keys_about(store, made.id) == [keys.record(kind.name, made.id).encode()]
    assert has_its_lifetime(store, kind, made.id)


@every_kind
def test_the_problem_of_a_job_lives_no_longer_than_its_record(store: Store, kind: AnyKind) -> None:
    made = work.accept(store, make_work(kind))
    work.fail(store, made, PROBLEM)
    lifetime = lifetime_of(store, "job", made.job_id)
    assert lifetime == pytest.approx(kind.lifetime_seconds or keys.JOB_SECONDS, abs=600)


@every_kind
def test_cancelled_work_leaves_no_data_and_a_record_only_where_its_id_is_its_own(store: Store, kind: AnyKind) -> None:
    made = work.accept(store, make_work(kind))
    write_data(store, made)
    for _ in range(2):
        assert work.cancel(store, made.job_id).state == "cancelled"
    left = [keys.record(kind.name, made.id).encode()] if kind.leaves_record else []
    assert keys_about(store, made.id) == left
    if kind.leaves_record:
        assert store.work[kind.name].require(made.id).state == "cancelled"
        assert has_its_lifetime(store, kind, made.id)


@every_kind
@pytest.mark.parametrize("end", ["finish", "fail", "none"])
def test_deleted_work_leaves_nothing_but_its_job(store: Store, kind: AnyKind, end: str) -> None:
    made = work.accept(store, make_work(kind))
    write_data(store, made)
    if end == "finish":
        work.finish(store, made, lambda current: current)
    elif end == "fail":
        work.fail(store, made, PROBLEM)
    work.delete(store, made)
    assert keys_about(store, made.id) == []
    job = store.jobs.require(made.job_id)
    assert (job.state, job.error) == ({"finish": "succeeded", "fail": "failed", "none": "cancelled"}[end], None)
    assert store.work[kind.name].all() == []


@every_kind
@pytest.mark.parametrize("end", ["cancel", "delete", "fail"])
def test_a_result_that_comes_after_the_end_is_dropped(store: Store, kind: AnyKind, end: str) -> None:
    made = work.accept(store, make_work(kind))
    if end == "cancel":
        work.cancel(store, made.job_id)
    elif end == "delete":
        work.delete(store, made)
    else:
        work.fail(store, made, PROBLEM)
    before = store.work[kind.name].find(made.id)
    write_data(store, made)
    with pytest.raises(Cancelled):
        work.finish(store, made, lambda current: current)
    work.drop_unwanted(store, made)
    assert store.work[kind.name].find(made.id) == before
    assert len(keys_about(store, made.id)) == (before is not None)


@every_kind
def test_a_result_that_comes_twice_takes_nothing_away(store: Store, kind: AnyKind) -> None:
    made = work.accept(store, make_work(kind))
    work.finish(store, made, lambda current: current)
    write_data(store, made)
    before = keys_about(store, made.id)
    with pytest.raises(Cancelled):
        work.finish(store, made, lambda current: current)
    work.drop_unwanted(store, made)
    assert keys_about(store, made.id) == before
    assert store.jobs.state(made.job_id) == "succeeded"


@every_kind
def test_a_job_that_was_left_running_ends_as_its_record_says(store: Store, kind: AnyKind) -> None:
    for state in ("succeeded", "failed", "cancelled"):
        made = work.accept(store, make_work(kind, state=state))
        work.close(store, made)
        assert store.jobs.state(made.job_id) == state


def test_equal_work_is_accepted_once(store: Store) -> None:
    first, second = (make_work(INDEX, id="idx_a") for _ in range(2))
    assert work.accept(store, first).job_id == work.accept(store, second).job_id == first.job_id
    assert len(store.queue.waiting("build")) == 1
    assert store.jobs.find(second.job_id) is None


def test_dead_work_is_begun_anew_by_equal_work(store: Store) -> None:
    first, second = (make_work(INDEX, id="idx_a") for _ in range(2))
    work.accept(store, first)
    work.fail(store, first, PROBLEM)
    assert work.accept(store, second) == second
    assert store.indexes.require("idx_a") == second
    work.delete(store, second)
    assert store.jobs.require(first.job_id).error is None, "a row that was quoted long ago"


@pytest.mark.parametrize("source", ["idx_a", "ds_b"])
def test_what_may_quote_a_source_goes_with_it_unless_it_holds_it(store: Store, source: str) -> None:
    work.accept(store, make_work(QUERY, index_id="idx_a", request={"rows": {"dataset_id": "ds_b"}}))
    kept = [work.accept(store, make_work(QUERY, index_id="idx_b")), work.accept(store, make_work(EVALUATION))]
    work.delete_dependents(store, source)
    assert [record.id for record in (*store.queries.all(), *store.evaluations.all())] == [one.id for one in kept]


def test_a_finished_evaluation_goes_with_the_rows_that_it_is_about_and_not_before(store: Store) -> None:
    evaluation = work.accept(store, make_work(EVALUATION))
    work.finish(store, evaluation, lambda current: current)
    work.delete_dependents(store, "ds_a")
    assert [found.id for found in store.evaluations.all()] == [evaluation.id]
    write_data(store, evaluation)
    work.delete_dependents(store, "ds_a", reports_too=True)
    assert store.evaluations.all() == [] == keys_about(store, "eval_")


def test_an_index_takes_along_what_was_asked_of_it(store: Store) -> None:
    index = work.accept(store, make_work(INDEX, id="idx_a"))
    work.finish(store, index, lambda current: current)
    for kind in (QUERY, AUDIT):
        write_data(store, work.accept(store, make_work(kind)))
    work.delete(store, index)
    assert [*store.queries.all(), *store.audits.all()] == []
    assert keys_about(store, "qry_") == keys_about(store, "aud_") == []

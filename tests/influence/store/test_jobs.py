"""A job's life and what it reports."""

from influence.store import keys
from influence.store.store import Store


def test_a_job_runs_and_succeeds(store: Store) -> None:
    store.jobs.create("job_1", "index", "idx_1", "/v1/indexes/idx_1")
    assert store.jobs.start("job_1")
    store.jobs.set_phase("job_1", "gradients", total=10)
    store.jobs.set_done("job_1", 3, shard=0)
    store.jobs.set_done("job_1", 4, shard=1)
    running = store.jobs.require("job_1")
    assert (running.state, running.progress.done, running.progress.total) == ("running", 7, 10)
    assert store.jobs.succeed("job_1")
    assert store.jobs.require("job_1").state == "succeeded"


def test_a_shard_reported_twice_counts_once(store: Store) -> None:
    store.jobs.create("job_1", "index", "idx_1", "/v1/indexes/idx_1")
    store.jobs.set_phase("job_1", "gradients", total=10)
    for _ in range(2):
        store.jobs.set_done("job_1", 5, shard=0)
    assert store.jobs.require("job_1").progress.done == 5


def test_a_final_job_never_changes_again(store: Store) -> None:
    store.jobs.create("job_1", "index", "idx_1", "/v1/indexes/idx_1")
    assert store.jobs.cancel("job_1")
    assert not store.jobs.succeed("job_1")
    assert not store.jobs.fail("job_1", {"code": "late"})
    assert not store.jobs.start("job_1")
    assert store.jobs.require("job_1").state == "cancelled"
    assert store.jobs.is_cancelled("job_1")


def test_a_count_of_ends_that_is_no_number_begins_anew_and_no_work_fails_for_it(store: Store) -> None:
    store.connections.state.hset(keys.counters(), "ended index succeeded none", "x1")
    store.jobs.create("job_1", "index", "idx_1", "/v1/indexes/idx_1")
    assert store.jobs.succeed("job_1")
    assert store.jobs.require("job_1").state == "succeeded"
    assert {found.name: found.value for found in store.counters.read()}["ended"] == 1


def test_a_count_of_attempts_that_is_no_number_is_taken_back_without_harm(store: Store) -> None:
    store.jobs.create("job_1", "index", "idx_1", "/v1/indexes/idx_1")
    store.connections.state.hset(keys.job("job_1"), "attempts:0", "x1")
    store.jobs.attempts.forget("job_1", 0)
    assert store.jobs.attempts.count("job_1", 0) == 1


def test_a_job_that_is_gone_counts_as_cancelled(store: Store) -> None:
    assert store.jobs.is_cancelled("job_unknown")

"""How long a whole job still takes, by what is expected of its phases and what the one in hand has shown."""

from datetime import timedelta

import pytest

from influence.contracts.common import now
from influence.store import keys
from influence.store.jobs.progress import outline_field, phase_fields, progress_of, sum_shards
from influence.store.store import Store

OUTLINE = {"sampling": 50.0, "fitting basis": 10.0, "gradients": 100.0, "finishing": 1.0}


def fields_of(phase: str, *, total: int, ran_seconds: float, outline: object = None, **changes: str) -> dict[str, str]:
    begun = phase_fields(phase, total=total, unit="rows", shown_total=None, base=0, in_shards=True)
    begun |= {"state": "running", "phase_started_at": (now() - timedelta(seconds=ran_seconds)).isoformat()}
    return begun | {"outline": outline_field(OUTLINE)} | changes


def test_the_time_left_is_that_of_the_phase_in_hand_and_of_all_later_ones() -> None:
    progress = progress_of(fields_of("sampling", total=250, ran_seconds=20.0, done="100"))
    assert progress.eta_seconds == pytest.approx(30.0 + 10.0 + 100.0 + 1.0, abs=0.5)
    assert progress.phases == tuple(OUTLINE)
    assert (progress.done, progress.share) == (100, 0.4)


def test_what_the_first_seconds_of_a_phase_show_counts_less_than_what_was_expected() -> None:
    slow = progress_of(fields_of("sampling", total=100, ran_seconds=1.0, done="1"))  # by its speed 99 s
    assert slow.eta_seconds == pytest.approx(0.25 * 99 + 0.75 * 49 + 111.0, abs=1.0)
    late = progress_of(fields_of("sampling", total=100, ran_seconds=57.0, done="50"))
    assert late.eta_seconds == pytest.approx(0.95 * 57 + 0.05 * 14.25 + 111.0, abs=1.0)


def test_a_phase_that_takes_longer_than_expected_is_not_said_to_be_over() -> None:
    overdue = progress_of(fields_of("fitting basis", total=24, ran_seconds=40.0))
    assert overdue.eta_seconds == pytest.approx(10.0 + 101.0, abs=0.5)


def test_a_phase_that_has_shown_nothing_yet_takes_what_was_expected_of_it() -> None:
    assert progress_of(fields_of("fitting basis", total=24, ran_seconds=4.0)).eta_seconds == pytest.approx(107, abs=0.5)


def test_while_a_later_phase_is_unknown_nobody_says_when_the_job_is_done() -> None:
    unknown = outline_field({"tokenising": None, "gradients": None, "finishing": 1.0})
    progress = progress_of(fields_of("tokenising", total=10, ran_seconds=2.0, done="9") | {"outline": unknown})
    assert progress.rate is not None
    assert progress.eta_seconds is None


def test_the_last_phase_is_not_over_because_earlier_shards_are() -> None:
    fields = fields_of("finishing", total=80, ran_seconds=0.2, **{"shard:0": "80"}) | {"in_shards": "0"}
    progress = progress_of(fields)
    assert (progress.done, progress.total) == (0, 80)
    assert progress.eta_seconds == pytest.approx(0.8, abs=0.3)


def test_what_an_earlier_run_had_done_does_not_count_for_the_rate() -> None:
    fields = fields_of("gradients", total=1000, ran_seconds=10.0, **{"shard:0": "900", "shard:1": "50", "base": "900"})
    progress = progress_of(fields)
    assert progress.rate == pytest.approx(5.0, rel=0.1)
    assert progress.eta_seconds == pytest.approx(10.0 + 1.0, rel=0.2)


def test_a_training_in_hand_counts_for_the_share_and_not_for_the_trainings_done() -> None:
    fields = fields_of("trainings", total=400, ran_seconds=10.0, **{"shard:0": "100", "shard:1": "50"})
    progress = progress_of(fields | {"shown_total": "8", "unit": "trainings", "outline": "[]"})
    assert (progress.done, progress.total, progress.unit, progress.share) == (3, 8, "trainings", 0.375)
    assert progress.rate == pytest.approx(0.3, rel=0.1)
    assert progress.eta_seconds == pytest.approx(250 / 15, rel=0.1)


def test_a_job_that_is_over_takes_no_more_time() -> None:
    fields = fields_of("gradients", total=10, ran_seconds=5.0, done="5") | {"state": "failed"}
    assert progress_of(fields).eta_seconds is None


def test_a_job_is_told_what_to_expect_and_learns_more(store: Store) -> None:
    store.jobs.create("job_1", "index", "idx_1", "/v1/indexes/idx_1")
    store.jobs.expect("job_1", dict.fromkeys(OUTLINE))
    store.jobs.set_phase("job_1", "sampling", total=200)
    assert store.jobs.require("job_1").progress.eta_seconds is None
    store.jobs.expect("job_1", OUTLINE)
    assert store.jobs.require("job_1").progress.eta_seconds == pytest.approx(161.0, abs=1.0)


def test_shards_add_up() -> None:
    assert sum_shards({"shard:0": "3", "shard:11": "4", "done": "9", "attempts:0": "7"}) == 7


def test_while_nobody_was_there_to_work_no_time_passes_for_a_job(store: Store) -> None:
    job = store.jobs.create("job_1", "evaluation", "eval_1", "/v1/evaluations/eval_1")
    store.jobs.start(job.id)
    store.jobs.set_phase(job.id, "trainings", total=100, unit="trainings")
    store.jobs.set_done(job.id, 50)
    began, left = (now() - timedelta(hours=hours) for hours in (10.1, 10.0))
    store.connections.state.hset(
        keys.job(job.id), mapping={"phase_started_at": began.isoformat(), "moved_at": left.isoformat()}
    )
    assert store.jobs.require(job.id).progress.eta_seconds == pytest.approx(36_360, rel=0.01)
    for _ in range(2):  # two workers that come at once find nobody, both
        store.jobs.leave_out_absence()
        assert store.jobs.require(job.id).progress.eta_seconds == pytest.approx(360, rel=0.05)

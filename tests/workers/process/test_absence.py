"""A service that was off for a night does not count the night for what its work takes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from support.service import running_worker

from influence.contracts.common import now
from influence.store import keys
from influence.store.connections import as_text
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store


def left_at_half_for_a_night(store: Store, job_id: str) -> None:
    store.jobs.create(job_id, "evaluation", f"eval_{job_id}", f"/v1/evaluations/eval_{job_id}")
    store.jobs.start(job_id)
    store.jobs.set_phase(job_id, "trainings", total=100, unit="trainings")
    store.jobs.set_done(job_id, 50)
    times = {"phase_started_at": now() - timedelta(hours=10.1), "moved_at": now() - timedelta(hours=10.0)}
    store.connections.state.hset(keys.job(job_id), mapping={name: at.isoformat() for name, at in times.items()})


def hours_in_phase(store: Store, job_id: str) -> float:
    """Of the record itself: a worker ends jobs that are about nothing."""
    begun = store.connections.state.hget(keys.job(job_id), "phase_started_at")
    assert begun is not None
    return (now() - datetime.fromisoformat(as_text(begun))).total_seconds() / 3600


def test_the_first_worker_leaves_out_the_time_without_any_and_others_do_not(
    server: EmbeddedServer, store: Store, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    left_at_half_for_a_night(store, "job_1")
    with running_worker(server.url, tmp_path / "data") as first:
        assert 0.1 <= hours_in_phase(store, "job_1") < 0.5
        wait_until(lambda: [one["name"] for one in store.workers.alive()] == [first.name], "the first worker is known")
        left_at_half_for_a_night(store, "job_2")
        with running_worker(server.url, tmp_path / "other"):
            assert hours_in_phase(store, "job_2") > 10.0

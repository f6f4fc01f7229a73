"""Work in hand asks one question: does anybody still want it, and may it go on here?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.service import idle_runtime

from influence.errors import Cancelled
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.building.wait_for_memory import retry_while_full
from workers.runtime.interrupts import ShutdownRequested, check_wanted, require_wanted
from workers.runtime.progress import JobProgress
from workers.runtime.state import Runtime

JOB = "job_a"


@pytest.fixture
def idle(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[Runtime]:
    with idle_runtime(server.url, tmp_path / "data") as runtime:
        store.jobs.create(JOB, "index", "idx_a", "/v1/indexes/idx_a")
        store.jobs.start(JOB)
        yield runtime


def test_a_running_job_is_wanted(idle: Runtime) -> None:
    check_wanted(idle, JOB)


@pytest.mark.parametrize("ending", ["cancelled", "failed", "deleted"])
def test_a_job_that_is_over_is_left(idle: Runtime, ending: str) -> None:
    if ending == "cancelled":
        idle.store.jobs.cancel(JOB)
    elif ending == "failed":
        idle.store.jobs.fail(JOB, {"code": "rows_unfit"})
    else:
        idle.store.jobs.delete(JOB)
    with pytest.raises(Cancelled, match=ending):
        require_wanted(idle, JOB)


def test_a_job_that_succeeded_may_be_worked_on_again(idle: Runtime) -> None:
    idle.store.jobs.succeed(JOB)
    require_wanted(idle, JOB)


def test_a_process_that_is_to_end_stops_work(idle: Runtime) -> None:
    idle.stopping.set()
    with pytest.raises(ShutdownRequested):
        check_wanted(idle, JOB)
    with pytest.raises(ShutdownRequested):
        JobProgress(idle, JOB).report(1)


def test_progress_is_reported_and_stops_with_the_job(idle: Runtime) -> None:
    progress = JobProgress(idle, JOB)
    progress.report(7)
    assert idle.store.jobs.require(JOB).progress.done == 7
    idle.store.jobs.cancel(JOB)
    with pytest.raises(Cancelled):
        progress.report(9, last=True)


def test_what_is_written_at_once_does_not_ask(idle: Runtime) -> None:
    idle.store.jobs.cancel(JOB)
    assert retry_while_full(idle, JOB, lambda: "written") == "written"

"""Lives of long work in any order, each step of them cut off anywhere and done again: hypothesis looks for a way to
lose, double, revive or leave behind something.

A model beside the store knows of every job in which state it has to be. A step that was cut off is done again, as a
message is delivered again and a caller asks again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import redis
from hypothesis import Phase, seed, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from support.trials.leaks import Kept
from support.work import make_work, write_data

from influence.contracts.work import QUEUES, WORK_KINDS, WorkKind
from influence.contracts.work_record import JobState, WorkRecord
from influence.errors import Cancelled
from influence.store import work
from influence.store.store import Store
from workers.process.reaper import resubmit_lost_work

PROBLEM = {"code": "rows_unfit", "status": 422, "detail": "Row 't1' is odd."}
#: Of indexes, whose ids come from what they are made of: the same one is asked for again.
_IDS = ("idx_" + "a" * 40, "idx_" + "b" * 40)
_KINDS: dict[str, WorkKind[Any]] = {kind.name: kind for kind in WORK_KINDS}
#: More calls than any step makes: what is cut off later is whole.
_MOST_CALLS = 24


class CutOff(Exception):
    """The process ends here."""


@dataclass
class Fuse:
    """Stands before a server's client and burns through after so many calls; None: never."""

    client: redis.Redis
    left: int | None = None

    def __post_init__(self) -> None:
        pool: Any = self.client.connection_pool
        take = pool.get_connection

        def counted(*args: Any, **options: Any) -> Any:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise CutOff
            return take(*args, **options)

        pool.get_connection = counted

    def cut(self, calls: int, step: Callable[[], object]) -> None:
        """A step that may be cut off after so many calls, then done to its end."""
        self.left = calls
        try:
            step()
        except CutOff:
            self.left = None
            step()
        finally:
            self.left = None


class Lives(RuleBasedStateMachine):
    """`store` and `fuse` are set by `make_machine`."""

    store: Store
    fuse: Fuse
    accepted = Bundle("accepted")
    calls = st.integers(0, _MOST_CALLS)

    def __init__(self) -> None:
        super().__init__()
        #: State of every job that is known, and the job of every record that is there.
        self.states: dict[str, JobState] = {}
        self.jobs: dict[str, str] = {}

    @initialize()
    def begin(self) -> None:
        self.store.connections.state.flushall()

    @rule(
        target=accepted,
        kind=st.sampled_from(list(_KINDS)),
        again=st.sampled_from(_IDS),
        calls=calls,
    )
    def accept(self, kind: str, again: str, calls: int) -> Any:
        made, of = list[WorkRecord](), _KINDS[kind]

        def step() -> None:
            record = make_work(of, **({} if of.leaves_record else of.begin(again)))
            made.append(work.accept(self.store, record))

        self.fuse.cut(calls, step)
        self._adopt_unheard(of.name, made[-1].id)
        record, known = made[-1], self.jobs.get(made[-1].id)
        if known is not None and self.states[known] in ("queued", "running", "succeeded"):
            assert record.job_id == known, "equal work is not begun twice"
            return multiple()
        assert record.job_id != known, "dead work is not found again"
        self.jobs[record.id], self.states[record.job_id] = record.job_id, "queued"
        return record

    def _adopt_unheard(self, kind: str, heard: str) -> None:
        """Work whose caller was cut off before the answer is work all the same."""
        for record in self.store.work[kind].each():
            if record.id != heard and record.id not in self.jobs:
                self.jobs[record.id], self.states[record.job_id] = record.job_id, "queued"

    @rule(record=accepted, calls=calls)
    def compute(self, record: WorkRecord, calls: int) -> None:
        """As a worker does: begin, write, go on; or see that it is over and remove what was written."""
        self.fuse.cut(calls, lambda: self.store.jobs.start(record.job_id))
        if self.states.get(record.job_id) == "queued":
            self.states[record.job_id] = "running"
        write_data(self.store, record)
        try:
            work.advance(self.store, record, lambda current: current)
        except Cancelled:
            assert not self.is_live(record), "work in hand is told that it is over"
            work.drop_unwanted(self.store, record)
        else:
            assert self.is_live(record), "what is over goes on"

    @rule(record=accepted, calls=calls)
    def finish(self, record: WorkRecord, calls: int) -> None:
        if self.is_live(record):
            self.fuse.cut(calls, lambda: self._finish(record))
            self.states[record.job_id] = "succeeded"
        else:
            try:
                work.finish(self.store, record, lambda current: current)
            except Cancelled:
                pass
            else:
                raise AssertionError("what is over succeeds")

    def _finish(self, record: WorkRecord) -> None:
        current = self.store.records_of(record).find(record.id)
        if current is not None and current.job_id == record.job_id and current.is_final:
            work.close(self.store, current)  # as whoever is told again of what was cut off
        else:
            work.finish(self.store, record, lambda current: current)

    @rule(record=accepted, calls=calls)
    def fail(self, record: WorkRecord, calls: int) -> None:
        was_live = self.is_live(record)
        self.fuse.cut(calls, lambda: self._fail(record))
        if was_live:
            self.states[record.job_id] = "failed"

    def _fail(self, record: WorkRecord) -> None:
        current = self.store.records_of(record).find(record.id)
        if current is not None and current.job_id == record.job_id and current.is_final:
            work.close(self.store, current)
        work.fail(self.store, record, PROBLEM)

    @rule(record=accepted, calls=calls)
    def cancel(self, record: WorkRecord, calls: int) -> None:
        if record.job_id not in self.states:
            return
        was_live = self.is_live(record)
        self.fuse.cut(calls, lambda: work.cancel(self.store, record.job_id))
        if was_live:
            self.states[record.job_id] = "cancelled"
            if not self.store.records_of(record).kind.leaves_record:
                del self.jobs[record.id]

    @rule(record=consumes(accepted), calls=calls)
    def delete(self, record: WorkRecord, calls: int) -> None:
        current = self.store.records_of(record).find(record.id)
        if current is None:
            return
        self.fuse.cut(calls, lambda: work.delete(self.store, current))
        job_id = self.jobs.pop(record.id)
        assert job_id == current.job_id
        if self.states[job_id] in ("queued", "running"):
            self.states[job_id] = "cancelled"

    def is_live(self, record: WorkRecord) -> bool:
        return self.jobs.get(record.id) == record.job_id and self.states[record.job_id] in ("queued", "running")

    @invariant()
    def every_job_is_where_it_has_to_be(self) -> None:
        for job_id, state in self.states.items():
            found = self.store.jobs.find(job_id)
            assert found is not None, f"{job_id} is lost"
            assert found.state == state, f"{job_id} is {found.state}, not {state}"

    @invariant()
    def every_record_is_there_and_says_what_its_job_says(self) -> None:
        found = {record.id: record for records in self.store.work.values() for record in records.each()}
        assert {record.id: record.job_id for record in found.values()} == self.jobs
        for record in found.values():
            assert work.with_job_state(self.store, record).state == self.states[record.job_id], record.id

    def teardown(self) -> None:
        """What is still open has a message; once everything is deleted, nothing is left."""
        resubmit_lost_work(self.store)
        waiting = [message["job_id"] for queue in QUEUES for _, message in self.store.queue.waiting(queue)]
        live = {job_id for job_id in self.jobs.values() if self.states[job_id] in ("queued", "running")}
        assert live <= set(waiting), "work without a message"
        for records in self.store.work.values():
            for record in list(records.each()):
                work.delete(self.store, record)
        leaks = Kept(self.store).leaks()
        assert not leaks, leaks


def run_lives(store: Store, *, seed_of_run: int, lives: int, steps: int) -> None:
    """So many lives of at most so many steps. Raises AssertionError with the shortest story that goes wrong."""
    machine = type("LivesOfStore", (Lives,), {"store": store, "fuse": Fuse(store.connections.state)})
    chosen = settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
    )
    run_machine(seed(seed_of_run)(machine), settings=chosen)

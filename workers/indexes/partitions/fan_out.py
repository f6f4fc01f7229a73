"""A pass over the parts of an index, each by the worker that keeps it hot, and taken over from those that are gone.

The one who asks waits for all parts and counts each once. Parts of a worker that is no longer heard of are asked of
another; a worker that starts again under its name finds its messages where they lay.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from influence.compact.partitions import Part, assign_parts
from influence.contracts.index import Index
from influence.digests import new_id
from influence.errors import Internal, ShardMissing
from influence.store.data.scans import Outcome
from workers.indexes.partitions.part import PartWork, compute_part
from workers.runtime.deletions import require_kept
from workers.runtime.interrupts import check_stopping, check_wanted
from workers.runtime.state import Runtime

log = structlog.get_logger()

#: The actor on each worker's own queue.
ACTOR = "compute_part"
#: Between two looks at whether the work is wanted and who is there to do it.
_LOOK_SECONDS = 1.0
#: A part without an answer is asked for again so often: its message may have been lost with the server's last second.
_AGAIN_SECONDS = 120.0

#: Hears of a part what was found in it.
Take = Callable[[Part, NDArray[Any]], None]


class FanOut:
    """Asks the `parts` of an index, in any order."""

    def __init__(self, runtime: Runtime, index: Index, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.runtime = runtime
        self.index = index

    def ask(
        self,
        job_id: str,
        step: str,
        asked: NDArray[Any],
        take: Take,
        *,
        about: Mapping[str, Any] | None = None,
        parts: Sequence[Part] | None = None,
    ) -> None:
        """Have a step taken over some parts, all by default; `take` is told what each found, once.

        `about` are fields of `PartWork`; `rows` there may be a function of the part. Raises Cancelled,
        ShutdownRequested, NotFound and IndexNotReady where the index went, ShardMissing.
        """
        with self._pass(asked) as scan_id:
            wanted = {part.number: part for part in (self.parts if parts is None else parts)}
            _Pass(self.runtime, self.index, scan_id, asked, len(self.parts)).run(
                job_id, step, wanted, take, about or {}
            )

    @contextmanager
    def _pass(self, asked: NDArray[Any]) -> Iterator[str]:
        scan_id, scans = new_id("scan"), self.runtime.store.scans
        scans.begin(scan_id, asked)
        try:
            yield scan_id
        finally:
            scans.end(scan_id)


class _Pass:
    """One pass under way: who was asked for what, and when."""

    def __init__(self, runtime: Runtime, index: Index, scan_id: str, asked: NDArray[Any], parts: int) -> None:
        self._runtime = runtime
        self._index = index
        self._scan_id = scan_id
        self._asked = asked
        self._parts = parts
        self._holders: dict[int, str] = {}
        self._sent_at: dict[int, float] = {}

    def run(self, job_id: str, step: str, wanted: dict[int, Part], take: Take, about: Mapping[str, Any]) -> None:
        runtime, scans = self._runtime, self._runtime.store.scans
        messages = {number: self._describe(part, step, about) for number, part in wanted.items()}
        left, total, looked = dict(wanted), sum(part.stop - part.start for part in wanted.values()), -_LOOK_SECONDS
        runtime.store.jobs.set_phase(job_id, "scanning", total=total)
        while left:
            if time.monotonic() - looked >= _LOOK_SECONDS:
                check_wanted(runtime, job_id)
                self._see_to({number: messages[number] for number in left})
                looked = time.monotonic()
            check_stopping(runtime)
            scans.hear(self._scan_id, _LOOK_SECONDS)
            outcomes = scans.outcomes(self._scan_id)
            for number in left.keys() & outcomes.keys():
                found = self._read(number, outcomes[number])
                if found is not None:
                    take(left.pop(number), found)
            runtime.store.jobs.set_done(job_id, total - sum(part.stop - part.start for part in left.values()))

    def _describe(self, part: Part, step: str, about: Mapping[str, Any]) -> PartWork:
        rows = about.get("rows")
        return PartWork(
            scan_id=self._scan_id,
            part=part.number,
            index_id=self._index.id,
            build_job_id=self._index.job_id,
            start=part.start,
            stop=part.stop,
            step=step,
            shape=self._asked.shape,
            dtype=self._asked.dtype.name,
            **{**about, "rows": (0, 0) if rows is None else rows(part)},
        )

    def _see_to(self, left: dict[int, PartWork]) -> None:
        """Ask whoever has to be asked now: at first all, later those in the place of workers that are gone."""
        scans, now = self._runtime.store.scans, time.monotonic()
        alive = [str(worker["name"]) for worker in self._runtime.store.workers.alive() if worker.get("takes_parts")]
        if not alive:
            self._do_here(left.values())
            return
        if not scans.has_begun(self._scan_id):
            scans.begin(self._scan_id, self._asked)
            self._sent_at.clear()
        late = [
            number
            for number in left
            if self._holders.get(number) not in alive or now - self._sent_at.get(number, -np.inf) >= _AGAIN_SECONDS
        ]
        if late:
            self._send(left, late, alive, now)

    def _send(self, left: dict[int, PartWork], late: Sequence[int], alive: Sequence[str], now: float) -> None:
        scans, build = self._runtime.store.scans, self._index.build
        if gone := {name for number in late if (name := self._holders.get(number)) is not None and name not in alive}:
            log.warning("parts of an index are taken over", index_id=self._index.id, workers_gone=sorted(gone))
        kept = scans.holders(build, self._parts)
        chosen = assign_parts(build, self._parts, alive, kept)
        if chosen != kept:
            scans.keep_holders(build, self._parts, chosen)
        for name in alive:
            own = [number for number in late if chosen[number] == name]
            self._runtime.store.queue.send_to(name, ACTOR, (left[number].model_dump(mode="json") for number in own))
            self._holders |= dict.fromkeys(own, name)
            self._sent_at |= dict.fromkeys(own, now)

    def _do_here(self, left: Iterable[PartWork]) -> None:
        """Nobody is announced: a worker that is only starting, or the tests'."""
        for work in left:
            check_stopping(self._runtime)
            compute_part(self._runtime, work)

    def _read(self, number: int, outcome: Outcome) -> NDArray[Any] | None:
        if outcome.problem is None:
            found = self._runtime.store.scans.take(self._scan_id, number, outcome)
            if found is None:
                self._sent_at.pop(number, None)  # to be asked again at the next look
            return found
        require_kept(self._runtime, self._index)
        problem = outcome.problem
        kind = ShardMissing if problem.get("code") == ShardMissing.code else Internal
        raise kind(str(problem.get("detail", "A part of the index could not be read.")), extra={"part": number})

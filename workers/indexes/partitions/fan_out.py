"""Passes over the parts of an index for a job, which shows their progress and whose end ends them."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from influence.compact.partitions import Part
from influence.contracts.index import Index
from influence.store.data.scans import PartWork
from influence.store.jobs.jobs import Jobs
from influence.store.passes import Asking, ask_parts
from workers.indexes.partitions.part import compute_part
from workers.runtime.deletions import require_kept
from workers.runtime.interrupts import check_stopping, check_wanted
from workers.runtime.state import Runtime

#: Between two words on how many rows are scanned.
_TELL_SECONDS = 0.1

#: Hears of a part what was found in it.
Take = Callable[[Part, NDArray[Any]], None]


class _Progress:
    """Rows that are done, told to a job from time to time: small parts take less time than saying so."""

    def __init__(self, jobs: Jobs, job_id: str) -> None:
        self.done = 0
        self._jobs = jobs
        self._job_id = job_id
        self._told, self._told_at = 0, time.monotonic()

    def tell(self) -> None:
        """Tell what is new, if it was told long enough ago."""
        if self.done > self._told and time.monotonic() - self._told_at >= _TELL_SECONDS:
            self._told, self._told_at = self.done, time.monotonic()
            self._jobs.set_done(self._job_id, self.done)


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
        wanted = {part.number: part for part in (self.parts if parts is None else parts)}
        progress = _Progress(self.runtime.store.jobs, job_id)
        self.runtime.store.jobs.set_phase(
            job_id, "scanning", total=sum(part.stop - part.start for part in wanted.values())
        )
        works = [self._describe(part, step, asked, about or {}) for part in wanted.values()]
        for number, found in ask_parts(self._asking(job_id, progress), asked, works):
            part = wanted[number]
            take(part, found)
            progress.done += part.stop - part.start

    def _asking(self, job_id: str, progress: "_Progress") -> Asking:
        def check() -> None:
            check_wanted(self.runtime, job_id)
            require_kept(self.runtime, self.index)

        def pause() -> None:
            check_stopping(self.runtime)
            progress.tell()

        return Asking(
            self.runtime.store,
            self.index.build,
            len(self.parts),
            check=check,
            pause=pause,
            here=self._do_here,
        )

    def _do_here(self, works: Sequence[PartWork]) -> None:
        """Nobody is announced: a worker that is only starting, or the tests'."""
        for work in works:
            check_stopping(self.runtime)
            compute_part(self.runtime, work)

    def _describe(self, part: Part, step: str, asked: NDArray[Any], about: Mapping[str, Any]) -> PartWork:
        rows = about.get("rows")
        return PartWork(
            scan_id="",
            part=part.number,
            index_id=self.index.id,
            build_job_id=self.index.job_id,
            start=part.start,
            stop=part.stop,
            step=step,
            shape=asked.shape,
            dtype=asked.dtype.name,
            **{**about, "rows": (0, 0) if rows is None else rows(part)},
        )

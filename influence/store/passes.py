"""A pass over the parts of an index, each by the worker that keeps it hot, and taken over from those that are gone.

The one who asks waits for all parts and counts each once. Parts of a worker that is no longer heard of are asked of
another; a worker that starts again under its name finds its messages where they lay.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from influence.compact.partitions import assign_parts
from influence.digests import new_id
from influence.errors import Internal, ShardMissing
from influence.store.data.scans import PARTS_ACTOR, Outcome, PartWork
from influence.store.store import Store

log = structlog.get_logger()

#: What workers say that they can be asked of parts: 1 was without looks, 2 took one part by a message.
PARTS_VERSION = 3
#: Between two looks at whether the work is wanted and who is there to do it.
_LOOK_SECONDS = 1.0
#: A part without an answer is asked for again so often: its message may have been lost with the server's last second.
_AGAIN_SECONDS = 120.0

Found = NDArray[Any]


@dataclass(frozen=True)
class Asking:
    """An index whose parts are asked, by its build and their count. `check` is called every second and `pause` between
    any two answers: each ends the pass by raising. `here` does parts where no worker is announced that takes them."""

    store: Store
    build: str
    parts: int
    check: Callable[[], None]
    pause: Callable[[], None]
    here: Callable[[Sequence[PartWork]], None]


def ask_parts(asking: Asking, asked: Found, works: Sequence[PartWork]) -> Iterator[tuple[int, Found]]:
    """What each part found, by its number, as they come; `works` need no id of the pass yet.

    Raises what `check`, `pause` and `here` raise, ShardMissing, Internal.
    """
    scan_id, scans = new_id("scan"), asking.store.scans
    scans.begin(scan_id, asked)
    try:
        named = {work.part: work.model_copy(update={"scan_id": scan_id}) for work in works}
        yield from _Pass(asking, scan_id, asked).run(named)
    finally:
        scans.end(scan_id, asked)


class _Pass:
    """One pass under way: who was asked for what, and when."""

    def __init__(self, asking: Asking, scan_id: str, asked: Found) -> None:
        self._asking = asking
        self._store = asking.store
        self._scan_id = scan_id
        self._asked = asked
        self._holders: dict[int, str] = {}
        self._sent_at: dict[int, float] = {}

    def run(self, works: Mapping[int, PartWork]) -> Iterator[tuple[int, Found]]:
        scans, left, looked = self._store.scans, dict(works), -_LOOK_SECONDS
        while left:
            if time.monotonic() - looked >= _LOOK_SECONDS:
                self._asking.check()
                self._see_to(left)
                looked = time.monotonic()
            self._asking.pause()
            scans.hear(self._scan_id, _LOOK_SECONDS)
            outcomes = scans.outcomes(self._scan_id)
            for number in left.keys() & outcomes.keys():
                found = self._read(number, outcomes[number])
                if found is not None:
                    del left[number]
                    yield number, found

    def _see_to(self, left: Mapping[int, PartWork]) -> None:
        """Ask whoever has to be asked now: at first all, later those in the place of workers that are gone."""
        scans, now = self._store.scans, time.monotonic()
        alive = [str(worker["name"]) for worker in self._store.workers.alive() if _takes_parts(worker)]
        if not alive:
            self._asking.here([*left.values()])
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

    def _send(self, left: Mapping[int, PartWork], late: Sequence[int], alive: Sequence[str], now: float) -> None:
        scans, build, parts = self._store.scans, self._asking.build, self._asking.parts
        if gone := {name for number in late if (name := self._holders.get(number)) is not None and name not in alive}:
            log.warning("parts of an index are taken over", build=build, workers_gone=sorted(gone))
        kept = scans.holders(build, parts)
        chosen = assign_parts(build, parts, alive, kept)
        if chosen != kept:
            scans.keep_holders(build, parts, chosen)
        for name in alive:
            own = [number for number in late if chosen[number] == name]
            if own:
                works = [left[number].model_dump(mode="json") for number in own]
                self._store.queue.send_to(name, PARTS_ACTOR, [{"works": works}])
            self._holders |= dict.fromkeys(own, name)
            self._sent_at |= dict.fromkeys(own, now)

    def _read(self, number: int, outcome: Outcome) -> Found | None:
        if outcome.problem is None:
            found = self._store.scans.take(self._scan_id, number, outcome)
            if found is None:
                self._sent_at.pop(number, None)  # to be asked again at the next look
            return found
        self._asking.check()
        problem = outcome.problem
        kind = ShardMissing if problem.get("code") == ShardMissing.code else Internal
        raise kind(str(problem.get("detail", "A part of the index could not be read.")), extra={"part": number})


def _takes_parts(worker: Mapping[str, Any]) -> bool:
    return int(worker.get("takes_parts") or 0) >= PARTS_VERSION

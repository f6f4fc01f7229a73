"""Work that is cheaper for many at once: whoever comes while it is being done waits, and is done with all who wait."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from influence.errors import DatainfError

Asked = TypeVar("Asked")
Found = TypeVar("Found")

#: What makes answers to all who ask together, in their order.
Answer = Callable[[Sequence[Asked]], Sequence[Found]]
#: Whether somebody may be answered together with those chosen so far.
Joins = Callable[[Sequence[Asked], Asked], bool]

#: What the rows of one who asks may cause for all who are answered with him.
_MAY_BE_ANOTHERS = (DatainfError, RuntimeError, MemoryError, LookupError, ValueError, TypeError)


@dataclass(eq=False)
class _Request(Generic[Asked, Found]):
    asked: Asked
    found: list[Found] = field(default_factory=list)
    woken: threading.Event = field(default_factory=threading.Event)
    is_alone: bool = False


class Gathering(Generic[Asked, Found]):
    """One at a time makes answers, for himself and all who wait, in the order in which they came.

    Nobody waits for others to come: who is alone is answered at once. Where an answer to several fails, each of them is
    answered alone, so that nobody fails for another's sake.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[_Request[Asked, Found]] = deque()
        self._is_led = False

    @property
    def waiting(self) -> int:
        """How many wait for the next answer."""
        return len(self._waiting)

    def ask(
        self,
        asked: Asked,
        answer: Answer[Asked, Found],
        joins: Joins[Asked],
        gate: AbstractContextManager[object] | None = None,
    ) -> Found:
        """The answer to `asked`, made by `answer` of whoever leads.

        Those who are answered together are chosen when `gate` is entered, which is held until they have their answers.
        Raises what `answer` raises for `asked` alone.
        """
        request = _Request[Asked, Found](asked)
        with self._mutex:
            self._waiting.append(request)
            if not self._is_led:
                self._is_led = True
                request.woken.set()
        request.woken.wait()
        if not request.found:
            try:
                with gate or nullcontext():
                    self._lead(request, answer, joins)
            finally:
                self._hand_over(request)
        return request.found[0]

    def _lead(self, request: _Request[Asked, Found], answer: Answer[Asked, Found], joins: Joins[Asked]) -> None:
        batch = self._take(request, joins)
        try:
            _tell(batch, answer)
        except _MAY_BE_ANOTHERS:
            if len(batch) == 1:
                raise
            _tell([request], answer)
        finally:
            self._put_back([one for one in batch if one is not request and not one.found])
            for one in batch:
                if one.found:
                    one.woken.set()

    def _take(self, leader: _Request[Asked, Found], joins: Joins[Asked]) -> list[_Request[Asked, Found]]:
        """The leader and those of the waiting who may be answered with him; they wait no more."""
        with self._mutex:
            batch = [leader]
            for other in () if leader.is_alone else self._waiting:
                if other is not leader and not other.is_alone and joins([one.asked for one in batch], other.asked):
                    batch.append(other)
            self._waiting = deque(one for one in self._waiting if one not in batch)
            return batch

    def _put_back(self, unanswered: Sequence[_Request[Asked, Found]]) -> None:
        with self._mutex:
            for one in reversed(unanswered):
                one.is_alone = True
                self._waiting.appendleft(one)

    def _hand_over(self, leader: _Request[Asked, Found]) -> None:
        """Let the first of the waiting lead, if there is one. A leader who never entered the gate waits no more."""
        with self._mutex:
            if leader in self._waiting:
                self._waiting.remove(leader)
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].woken.set()


def _tell(batch: Sequence[_Request[Asked, Found]], answer: Answer[Asked, Found]) -> None:
    answers = answer([one.asked for one in batch])
    for one, found in zip(batch, answers, strict=True):
        one.found.append(found)

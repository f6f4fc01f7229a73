"""Who asks while an answer is being made is answered with all who wait, and fails for nobody else's sake."""

import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from workers.runtime.sharing.gathering import Gathering


class Crowd:
    """Threads that ask a gathering for the doubles of numbers; the first is held while the others come."""

    def __init__(self, wait_until: Callable[..., None], *, most: int = 100) -> None:
        self.gathering: Gathering[int, int] = Gathering()
        self.batches: list[list[int]] = []
        self.answers: dict[int, Any] = {}
        self._wait_until = wait_until
        self._most = most
        self._held = threading.Event()
        self._threads: list[threading.Thread] = []

    def ask(self, *numbers: int) -> None:
        """One thread for each; each waits before the next comes."""
        for number in numbers:
            is_first, waiting = not self._threads, self.gathering.waiting
            thread = threading.Thread(target=self._ask, args=(number,))
            thread.start()
            self._threads.append(thread)
            if is_first:
                self._wait_until(lambda: self.batches, "the first is being answered")
            else:
                self._wait_until(lambda waiting=waiting: self.gathering.waiting == waiting + 1, "it waits")

    def let_go(self) -> None:
        """Let the first be answered, and wait for all."""
        self._held.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        try:
            self.answers[number] = self.gathering.ask(number, self._double, self._joins)
        except ValueError as error:
            self.answers[number] = str(error)

    def _double(self, asked: Sequence[int]) -> list[int]:
        self.batches.append([*asked])
        self._held.wait()
        if bad := [number for number in asked if number < 0]:
            raise ValueError(f"{bad[0]} is bad")
        return [2 * number for number in asked]

    def _joins(self, chosen: Sequence[int], other: int) -> bool:
        return sum(chosen) + other <= self._most


def test_all_who_wait_are_answered_at_once_in_the_order_they_came(wait_until: Callable[..., None]) -> None:
    crowd = Crowd(wait_until)
    crowd.ask(1, 2, 3, 4)
    crowd.let_go()
    assert crowd.batches == [[1], [2, 3, 4]]
    assert crowd.answers == {1: 2, 2: 4, 3: 6, 4: 8}


def test_who_does_not_fit_is_answered_next(wait_until: Callable[..., None]) -> None:
    crowd = Crowd(wait_until, most=10)
    crowd.ask(1, 6, 5, 2, 8)
    crowd.let_go()
    assert crowd.batches == [[1], [6, 2], [5], [8]]


def test_one_who_is_bad_fails_alone(wait_until: Callable[..., None]) -> None:
    crowd = Crowd(wait_until)
    crowd.ask(1, 2, -3, 4)
    crowd.let_go()
    assert crowd.batches == [[1], [2, -3, 4], [2], [-3], [4]]
    assert crowd.answers == {1: 2, 2: 4, -3: "-3 is bad", 4: 8}


def test_a_bad_leader_fails_alone(wait_until: Callable[..., None]) -> None:
    crowd = Crowd(wait_until)
    crowd.ask(1, -2, 3)
    crowd.let_go()
    assert crowd.answers == {1: 2, -2: "-2 is bad", 3: 6}


def test_who_come_while_the_gate_is_shut_take_part(wait_until: Callable[..., None]) -> None:
    gathering, gate, answered = Gathering[int, int](), threading.Lock(), list[list[int]]()

    def answer(asked: Sequence[int]) -> Sequence[int]:
        answered.append(sorted(asked))
        return asked

    gate.acquire()
    threads = [
        threading.Thread(target=gathering.ask, args=(number, answer, lambda _chosen, _other: True, gate))
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: gathering.waiting == 3, "all wait for the gate")
    gate.release()
    for thread in threads:
        thread.join()
    assert answered == [[0, 1, 2]]


def test_a_gate_that_cannot_be_entered_holds_up_nobody_else() -> None:
    gathering: Gathering[int, int] = Gathering()

    @contextmanager
    def shut() -> Any:
        raise KeyError("shut")
        yield

    with pytest.raises(KeyError):
        gathering.ask(1, list, lambda _chosen, _other: True, shut())
    assert gathering.waiting == 0
    assert gathering.ask(2, list, lambda _chosen, _other: True) == 2

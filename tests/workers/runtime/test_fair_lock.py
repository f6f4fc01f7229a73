"""The device lock serves whoever waited longest."""

import threading
from collections.abc import Callable

from workers.runtime.fair_lock import FairLock


def test_waiters_are_served_in_order(wait_until: Callable[..., None]) -> None:
    lock, served, threads = FairLock(), list[int](), []

    def take(number: int) -> None:
        with lock:
            served.append(number)

    lock.acquire()
    for number in range(5):
        thread = threading.Thread(target=take, args=(number,))
        thread.start()
        threads.append(thread)
        wait_until(lambda number=number: len(lock._waiting) == number + 1, "the thread queues up")
    lock.release()
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, 3, 4]


def test_a_busy_holder_lets_a_waiter_in_at_its_next_release(wait_until: Callable[..., None]) -> None:
    lock, order = FairLock(), []

    def query() -> None:
        with lock:
            order.append("query")

    lock.acquire()
    thread = threading.Thread(target=query)
    thread.start()
    wait_until(lambda: len(lock._waiting) == 1, "the query waits")
    lock.release()
    with lock:
        order.append("build")
    thread.join()
    assert order == ["query", "build"]


def test_only_one_holds_it() -> None:
    lock, inside, most = FairLock(), [0], [0]

    def work() -> None:
        for _ in range(200):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1


def test_who_gives_way_begins_nothing_while_an_answer_is_awaited_but_not_for_ever() -> None:
    lock, begun = FairLock(), threading.Event()

    def build() -> None:
        lock.give_way()
        with lock:
            begun.set()

    with lock.in_hand():
        thread = threading.Thread(target=build)
        thread.start()
        assert not begun.wait(0.05)
        with lock:
            pass  # the query's own pass waits for nobody
    assert begun.wait(30)  # at once
    thread.join()
    begun.clear()
    with lock.in_hand():
        thread = threading.Thread(target=build)
        thread.start()
        assert begun.wait(30)  # it has waited long enough
        thread.join()

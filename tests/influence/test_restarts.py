"""When a process that keeps dying is started again."""

import signal

from influence.process.restarts import Lives, Patience, describe_exit

NEVER_LONG = 1e9


def test_waiting_doubles_while_lives_are_short() -> None:
    lives = Lives(Patience(NEVER_LONG, first_wait_seconds=0.5, last_wait_seconds=3.0, max_short_lives=3))
    waits: list[float] = []
    for _ in range(5):
        assert lives.are_too_short == (len(waits) >= 3)
        lives.begin()
        waits.append(lives.end())
        assert not lives.may_begin
    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert (lives.ended, lives.short_lives) == (5, 5)


def test_a_life_of_some_length_is_followed_at_once_and_makes_up_for_those_before() -> None:
    lives = Lives(Patience(short_life_seconds=0.0))
    lives.short_lives = 4
    lives.begin()
    assert lives.end() == 0.0
    assert lives.may_begin
    assert (lives.short_lives, lives.ended) == (0, 1)


def test_a_first_life_may_begin_at_once() -> None:
    assert Lives().may_begin


def test_the_wait_of_a_process_that_has_died_for_years_is_still_a_number() -> None:
    lives = Lives(Patience(NEVER_LONG))
    lives.short_lives = 10_000
    lives.begin()
    assert lives.end() == Patience().last_wait_seconds


def test_an_exit_by_the_kernel_is_named() -> None:
    assert "want of memory" in describe_exit(-signal.SIGKILL)
    assert describe_exit(-signal.SIGSEGV) == "was ended by signal 11"
    assert describe_exit(7) == "ended with exit code 7"

"""Values are made once, kept under a bound, and leave in order."""

import threading
from collections.abc import Callable
from functools import partial

import pytest

from influence.errors import MethodNotOffered
from influence.process.lru import Lru


def refuse() -> str:
    raise MethodNotOffered("not here")


def test_the_value_not_used_for_longest_leaves_first() -> None:
    kept, made = Lru[str, str](2), list[str]()

    def ask(name: str) -> str:
        def load() -> str:
            made.append(name)
            return name

        return kept.get(name, load)

    for name in "abacada":
        assert ask(name) == name
    assert made == ["a", "b", "c", "d"]
    assert list(kept) == ["d", "a"]


def test_sizes_count_where_they_are_given() -> None:
    kept = Lru[str, bytes](10, size_of=len)
    for name, size in (("a", 4), ("b", 4), ("c", 5)):
        kept.get(name, partial(bytes, size))
    assert (list(kept), kept.size) == (["b", "c"], 9)
    kept.put("d", bytes(10))
    assert (list(kept), kept.size) == (["d"], 10)


def test_the_newest_value_stays_even_where_it_is_too_large_alone() -> None:
    kept = Lru[str, bytes](10, size_of=len)
    assert len(kept.get("large", lambda: bytes(11))) == 11
    assert list(kept) == ["large"]
    kept.get("small", lambda: bytes(1))
    assert list(kept) == ["small"]


def test_room_is_made_before_the_next_value() -> None:
    evictions = list[str]()
    kept = Lru[str, str](2, reserve=1, on_evict=lambda: evictions.append("one left"))
    kept.get("a", lambda: "a")
    kept.get("b", lambda: "b")
    seen = list[list[str]]()

    def load() -> str:
        seen.append(list(kept))
        return "c"

    kept.get("c", load)
    assert seen == [["b"]]
    assert evictions == ["one left"]


def test_what_is_not_to_be_kept_is_made_and_puts_nothing_out() -> None:
    kept = Lru[str, str](1, reserve=1)
    assert kept.get("a", lambda: "kept") == "kept"
    assert kept.get("b", lambda: "passing", keep=False) == "passing"
    assert kept.get("a", refuse, keep=False) == "kept"
    assert kept.get("a", refuse) == "kept"


def test_a_value_that_cannot_be_made_is_not_kept() -> None:
    kept = Lru[str, str](2)
    with pytest.raises(MethodNotOffered):
        kept.get("ekfac", refuse)
    assert "ekfac" not in kept
    assert kept.get("ekfac", lambda: "made later") == "made later"


class Gate:
    """A load that waits until it is let through."""

    def __init__(self) -> None:
        self.entered, self.go, self.loads = threading.Event(), threading.Event(), 0

    def load(self) -> str:
        self.loads += 1
        self.entered.set()
        assert self.go.wait(300)
        return f"load {self.loads}"


def start(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_threads_that_ask_together_share_one_load(wait_until: Callable[..., None]) -> None:
    kept, gate, found = Lru[str, str](2), Gate(), list[str]()
    threads = [start(lambda: found.append(kept.get("a", gate.load))) for _ in range(4)]
    assert gate.entered.wait(300)
    gate.go.set()
    for thread in threads:
        thread.join(300)
    assert found == ["load 1"] * 4


def test_another_key_is_loaded_meanwhile_unless_loads_are_serial() -> None:
    free, gate = Lru[str, str](2), Gate()
    thread = start(lambda: free.get("slow", gate.load))
    assert gate.entered.wait(300)
    assert free.get("quick", lambda: "at once") == "at once"
    gate.go.set()
    thread.join(300)

    serial, gate, order = Lru[str, str](2, serial=True), Gate(), list[str]()

    def ask(name: str, load: Callable[[], str]) -> None:
        serial.get(name, load)
        order.append(name)

    first = start(lambda: ask("slow", gate.load))
    assert gate.entered.wait(300)
    second = start(lambda: ask("quick", lambda: "later"))
    assert order == []
    gate.go.set()
    first.join(300)
    second.join(300)
    assert set(order) == {"slow", "quick"}
    assert gate.loads == 1


def test_a_hit_waits_for_no_load() -> None:
    kept, gate = Lru[str, str](2, serial=True), Gate()
    kept.put("here", "at once")
    thread = start(lambda: kept.get("slow", gate.load))
    assert gate.entered.wait(300)
    assert kept.get("here", refuse) == "at once"
    gate.go.set()
    thread.join(300)


def test_what_is_forgotten_while_it_is_loaded_is_handed_out_and_not_kept() -> None:
    kept, gate, found = Lru[str, str](2), Gate(), list[str]()
    thread = start(lambda: found.append(kept.get("a", gate.load)))
    assert gate.entered.wait(300)
    kept.forget(lambda key: key == "a")
    gate.go.set()
    thread.join(300)
    assert found == ["load 1"]
    assert "a" not in kept
    assert kept.get("a", gate.load) == "load 2"


def test_only_what_is_meant_is_forgotten() -> None:
    evictions = list[str]()
    kept = Lru[str, bytes](100, size_of=len, on_evict=lambda: evictions.append("left"))
    for name in ("idx_a", "idx_b"):
        kept.put(name, bytes(10))
    kept.forget(lambda key: key == "idx_a")
    kept.forget(lambda key: key == "idx_c")
    assert (list(kept), kept.size, evictions) == (["idx_b"], 10, ["left"])


def test_a_value_that_left_while_in_use_is_whole_for_its_user() -> None:
    kept = Lru[str, bytearray](10, size_of=len)
    held = kept.get("a", lambda: bytearray(b"in use"))
    kept.put("b", bytearray(8))
    assert "a" not in kept
    assert held == b"in use"

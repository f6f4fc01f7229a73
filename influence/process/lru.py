"""Values kept by key under a bound; what was not used for longest leaves first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Lru(Generic[Key, Value]):
    """Keeps at most `capacity` of what `size_of` says of a value, which must not change: bytes, or 1 to count values.

    The newest value stays even where it alone is larger. A value is loaded once, however many threads ask for it;
    others are loaded meanwhile unless `serial`. `reserve` is free before a load begins: the old and the new might not
    fit together. `on_evict` is called when something left, after the last reference from here is gone.
    """

    def __init__(
        self,
        capacity: int,
        *,
        size_of: Callable[[Value], int] = lambda _value: 1,
        reserve: int = 0,
        serial: bool = False,
        on_evict: Callable[[], None] = lambda: None,
    ) -> None:
        self._capacity = capacity
        self._size_of = size_of
        self._reserve = reserve
        self._on_evict = on_evict
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._size = 0
        self._loading: dict[Key, threading.Lock] = {}
        self._mutex = threading.Lock()
        self._turn: AbstractContextManager[object] = threading.Lock() if serial else nullcontext()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    @property
    def size(self) -> int:
        """What all values take."""
        return self._size

    def __iter__(self) -> Iterator[Key]:
        """Keys as they are now, the least recently used first."""
        with self._mutex:
            return iter(list(self._kept))

    def find(self, key: Key) -> Value | None:
        """The value if it is kept; it counts as used."""
        with self._mutex:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def get(self, key: Key, load: Callable[[], Value], *, keep: bool = True) -> Value:
        """The value, made by `load` where it is not kept; without `keep` a new one is handed out only.

        Raises what `load` raises, and then keeps nothing.
        """
        while True:
            with self._mutex:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
                lock = self._loading.setdefault(key, threading.Lock())
            with lock, self._turn:
                if self._loading.get(key) is lock:  # or another has loaded it, failed to, or the key was forgotten
                    return self._load(key, lock, load, keep)

    def _load(self, key: Key, lock: threading.Lock, load: Callable[[], Value], keep: bool) -> Value:
        if keep:
            self._shrink(self._capacity - self._reserve)
        try:
            value = load()
            with self._mutex:
                if keep and self._loading.get(key) is lock:  # not forgotten meanwhile
                    self._insert(key, value)
        finally:
            with self._mutex:
                if self._loading.get(key) is lock:
                    del self._loading[key]
        self._shrink(self._capacity, keep=key)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Keep a value that was made elsewhere; one that is kept already stays."""
        with self._mutex:
            self._insert(key, value)
        self._shrink(self._capacity, keep=key)

    def forget(self, is_meant: Callable[[Key], bool]) -> None:
        """Drop the values whose keys are meant; what is being loaded for such a key is handed out and not kept."""
        with self._mutex:
            for key in [key for key in self._loading if is_meant(key)]:
                del self._loading[key]
            dropped = [self._drop(key) for key in [key for key in self._kept if is_meant(key)]]
        if dropped:
            dropped.clear()
            self._on_evict()

    def _insert(self, key: Key, value: Value) -> None:
        if key not in self._kept:
            self._kept[key] = value
            self._size += self._size_of(value)

    def _drop(self, key: Key) -> Value:
        value = self._kept.pop(key)
        self._size -= self._size_of(value)
        return value

    def _shrink(self, size: int, *, keep: Key | None = None) -> None:
        dropped = []
        with self._mutex:
            while self._size > size and self._kept and (oldest := next(iter(self._kept))) != keep:
                dropped.append(self._drop(oldest))
        if dropped:
            dropped.clear()
            self._on_evict()

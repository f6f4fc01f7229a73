"""Folders of the data directory that copy what lies elsewhere: fetched when first asked for, under a bound of bytes.

A folder appears whole and goes whole, by one renaming. What was used within `IN_USE_SECONDS` stays even beyond the
bound: whoever asked for it may be about to open it. Threads and processes may share the directory.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

#: Longer than any pause between asking for a folder and opening its files, or between two uses of one in hand.
IN_USE_SECONDS = 300.0


class Copy(NamedTuple):
    """A folder with when it was last used (seconds since 1970) and its bytes."""

    folder: Path
    used_at: float
    bytes: int


class LocalCopies:
    """The folders below `roots`; `leave` removes one if it may go, with all that belongs to it alone."""

    def __init__(
        self, roots: Iterable[Path], bound_bytes: int, leave: Callable[[Path], None], in_use_seconds: float
    ) -> None:
        self._roots = tuple(roots)
        self._bound_bytes = bound_bytes
        self._leave = leave
        self._in_use_seconds = in_use_seconds
        self._fetching: dict[Path, threading.Lock] = {}
        self._mutex = threading.Lock()

    def find(self, folder: Path, fetch: Callable[[], None]) -> Path:
        """The folder, brought by `fetch` where it is not here; nothing is there afterwards if there is none."""
        if not _touch(folder):
            with self._alone(folder):
                if not _touch(folder):
                    fetch()
            self.shrink()
        return folder

    def shrink(self) -> None:
        """Drop what was not used for longest until the bound holds."""
        copies = sorted(self.all(), key=lambda copy: copy.used_at)
        total = sum(copy.bytes for copy in copies)
        for copy in copies:
            if total <= self._bound_bytes or self._is_in_use(copy):
                return
            self._leave(copy.folder)
            total -= copy.bytes

    def unused(self, is_meant: Callable[[Path], bool]) -> list[Path]:
        """Those that are meant and not in use."""
        return [copy.folder for copy in self.all() if not self._is_in_use(copy) and is_meant(copy.folder)]

    def all(self) -> Iterator[Copy]:
        """Everything that is here; what is on its way has another kind of name."""
        for root in self._roots:
            for folder in root.iterdir():
                if "-" not in folder.name and not folder.name.startswith("."):
                    with suppress(FileNotFoundError):
                        yield Copy(folder, folder.stat().st_mtime, _measure(folder))

    def _is_in_use(self, copy: Copy) -> bool:
        return copy.used_at > time.time() - self._in_use_seconds

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Of the threads that want a folder one at a time."""
        with self._mutex:
            lock = self._fetching.setdefault(folder, threading.Lock())
        try:
            with lock:
                yield
        finally:
            with self._mutex:
                self._fetching.pop(folder, None)


def vanish(folder: Path, scratch: Path) -> None:
    """Remove a folder: it is gone at once, its bytes a moment later."""
    with suppress(FileNotFoundError):
        folder.rename(scratch / folder.name)
    shutil.rmtree(scratch / folder.name, ignore_errors=True)


def _touch(folder: Path) -> bool:
    """Note that a folder is used; False where it is not there."""
    try:
        os.utime(folder)
    except FileNotFoundError:
        return False
    return True


def _measure(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

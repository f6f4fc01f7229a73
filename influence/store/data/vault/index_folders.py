"""Folders of finished indexes, by build: beside the uploads in the data directory, or in the object store alone.

They are not copied whole to other machines: what a worker lacks of one it reads, piece by piece.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from influence.store.data.vault.cache import vanish
from influence.store.data.vault.port import Content, Vault

KIND = "indexes"
Scratch = Callable[[], AbstractContextManager[Path]]


class IndexFolders:
    """The folders below `root`, or those that `vault` keeps. Each method raises FilesUnavailable where it does not
    answer."""

    def __init__(self, root: Path, vault: Vault, scratch: Scratch) -> None:
        self._root = root
        self._vault = vault
        self.scratch = scratch

    @property
    def are_elsewhere(self) -> bool:
        """Whether an object store has them, and no folder of this machine."""
        return self._vault.is_elsewhere

    def keep(self, folder: Path, build: str) -> None:
        """Make a finished folder the one of a build, whole or not at all; one that is there already stays."""
        if self.are_elsewhere:
            self._publish(folder, build)
            return
        try:
            folder.rename(self._root / build)
        except OSError:
            if not (self._root / build).is_dir():
                raise

    def holds(self, build: str) -> bool:
        """Whether a build has one."""
        return self._vault.holds(f"{KIND}/{build}") if self.are_elsewhere else (self._root / build).is_dir()

    def read(self, build: str, name: str, start: int = 0, stop: int | None = None) -> Content | None:
        """Bytes `start` to `stop` of a file, or all of it; None where there are no such bytes."""
        if self.are_elsewhere:
            return self._vault.read(f"{KIND}/{build}", name, start, stop)
        try:
            with (self._root / build / name).open("rb") as file:
                file.seek(start)
                return file.read() if stop is None else file.read(stop - start)
        except FileNotFoundError:
            return None

    def fill(self, build: str, name: str, start: int, buffers: Sequence[memoryview]) -> bool:
        """Read a file from some byte on into buffers one after another; False where this machine has no such bytes."""
        if self.are_elsewhere:
            return False
        try:
            with (self._root / build / name).open("rb", buffering=0) as file:
                return os.preadv(file.fileno(), buffers, start) == sum(map(len, buffers))
        except FileNotFoundError:
            return False

    def builds(self, prefix: str = "") -> list[str]:
        """Builds that have a folder, or one on its way, and whose names begin so."""
        here = [path.name for path in self._root.iterdir() if path.name.startswith(prefix)]
        elsewhere = [address.partition("/")[2] for address in self._vault.addresses(KIND)]
        return sorted({*here, *(build for build in elsewhere if build.startswith(prefix))})

    def remove(self, build: str) -> None:
        """Remove a build's; one that is on its way comes to nothing later."""
        self._vault.remove(f"{KIND}/{build}")
        with self.scratch() as scratch:
            vanish(self._root / build, scratch)

    def publish_missing(self) -> list[Path]:
        """Send what only this machine has to an object store that was named since, and remove it here; answers what."""
        if not self.are_elsewhere:
            return []
        folders = sorted(self._root.iterdir())
        for folder in folders:
            self._publish(folder, folder.name)
            with self.scratch() as scratch:
                vanish(folder, scratch)
        return folders

    def _publish(self, folder: Path, build: str) -> None:
        self._vault.publish({path.name: path for path in sorted(folder.iterdir())}, f"{KIND}/{build}")

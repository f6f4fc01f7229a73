"""What is asked of a place where files are kept: folders by address, each whole or not there.

An address is `adapters/<digest>` or `datasets/<id>`: the content decides it, so that what is there already is the same;
or `indexes/<build>`, which is made once.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from ulid import ULID

from influence.contracts.common import Frozen

#: Bytes, or a view of those that a client holds: a copy of 16 MiB takes as long as reading them.
Content = bytes | memoryview


class FileEntry(Frozen):
    """One file of an address: its size, and the SHA-256 of its bytes in hex."""

    bytes: int
    sha256: str


class Manifest(Frozen):
    """What an address holds, written last. Its files lie below `generation`, which no other publication writes to."""

    version: int = 1
    generation: str
    files: dict[str, FileEntry]


class Vault(Protocol):
    """Keeps files beside the data directory. Each of these raises FilesUnavailable where it does not answer."""

    #: Whether the data directory is only a cache of it.
    is_elsewhere: bool

    def publish(self, files: Mapping[str, Path], address: str) -> None:
        """Keep files by their names under an address, all of them or none; what is there whole already stays."""

    def fetch(self, address: str, folder: Path) -> bool:
        """Write the files of an address into a folder; False where it holds none. Raises Internal for damaged ones."""

    def read(self, address: str, name: str, start: int, stop: int | None) -> Content | None:
        """Bytes of one file of an address, all of it, checked, where `stop` is None; None where there are no such
        bytes. Raises Internal for damaged ones."""

    def remove(self, address: str) -> None:
        """Remove an address with all that it holds."""

    def holds(self, address: str) -> bool:
        """Whether an address is published."""

    def addresses(self, kind: str) -> Iterator[str]:
        """The addresses of a kind: `adapters`, `datasets` or `indexes`."""

    def write_once(self, name: str, content: bytes) -> bytes:
        """Keep a small file unless one of this name is kept; answers what is kept."""

    def write(self, name: str, content: bytes) -> None:
        """Keep a small file, whole or not at all, in the place of one of this name."""

    def load(self, name: str) -> bytes | None:
        """A small file; None where there is none of this name."""

    def discard(self, name: str) -> None:
        """Remove a small file."""

    def names(self, prefix: str) -> Iterator[str]:
        """Names of small files that begin with a folder's, `prefix`."""

    def sweep(self, *, older_than_seconds: float) -> int:
        """Remove what publications left that were cut off so long ago; answers how many files."""


class InPlace:
    """The data directory itself: what lies at its address there is published."""

    is_elsewhere = False

    def __init__(self, root: Path) -> None:
        self._root = root

    def publish(self, files: Mapping[str, Path], address: str) -> None:
        """Nothing: it is there."""

    def fetch(self, address: str, folder: Path) -> bool:
        """Never: what is not there is nowhere."""
        return False

    def read(self, address: str, name: str, start: int, stop: int | None) -> Content | None:
        """Nothing: what is not there is nowhere."""
        return None

    def remove(self, address: str) -> None:
        """Nothing: there is no second copy."""

    def holds(self, address: str) -> bool:
        """Nowhere but in the data directory."""
        return False

    def addresses(self, kind: str) -> Iterator[str]:
        """None but those of the data directory."""
        return iter(())

    def write_once(self, name: str, content: bytes) -> bytes:
        """The content as it is given."""
        return content

    def write(self, name: str, content: bytes) -> None:
        """Written beside its place, then moved there."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.parent / f".{path.name}-{ULID()}"
        try:
            with made.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            made.rename(path)
        finally:
            made.unlink(missing_ok=True)

    def load(self, name: str) -> bytes | None:
        """The file as it is."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def discard(self, name: str) -> None:
        """Remove the file."""
        (self._root / name).unlink(missing_ok=True)

    def names(self, prefix: str) -> Iterator[str]:
        """Without those that are on their way."""
        for path in sorted((self._root / prefix).glob("*")):
            if not path.name.startswith("."):
                yield f"{prefix}/{path.name}"

    def sweep(self, *, older_than_seconds: float) -> int:
        """Nothing is left elsewhere."""
        return 0

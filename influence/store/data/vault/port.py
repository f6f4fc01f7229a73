"""What is asked of a place where files are kept: folders by address, each whole or not there.

An address is `adapters/<digest>` or `datasets/<id>`: the content decides it, so that what is there already is the same;
or `indexes/<build>`, which is made once.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from influence.contracts.common import Frozen


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

    def read(self, address: str, name: str, start: int, stop: int | None) -> bytes | None:
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

    def sweep(self, *, older_than_seconds: float) -> int:
        """Remove what publications left that were cut off so long ago; answers how many files."""


class InPlace:
    """The data directory itself: what lies at its address there is published."""

    is_elsewhere = False

    def publish(self, files: Mapping[str, Path], address: str) -> None:
        """Nothing: it is there."""

    def fetch(self, address: str, folder: Path) -> bool:
        """Never: what is not there is nowhere."""
        return False

    def read(self, address: str, name: str, start: int, stop: int | None) -> bytes | None:
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

    def sweep(self, *, older_than_seconds: float) -> int:
        """Nothing is left elsewhere."""
        return 0

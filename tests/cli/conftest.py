"""Real processes and a real HTTP server for the command line's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def processes_of() -> Callable[[Path], list[int]]:
    """Ids of living processes that have a folder in their command line or environment."""

    def find(folder: Path) -> list[int]:
        wanted = str(folder).encode()
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _names(entry, wanted)]

    return find


def _names(entry: Path, wanted: bytes) -> bool:
    try:
        if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        return wanted in (entry / "cmdline").read_bytes() or wanted in (entry / "environ").read_bytes()
    except (OSError, IndexError):
        return False

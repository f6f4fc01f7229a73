"""The files of an adapter, out of an uploaded zip or a folder on this machine, into a folder of their own."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.intake.archives import DEFAULT_LIMITS, ArchiveLimits, extract_files
from influence.checkpoint_files.folders import choose_files
from influence.errors import PathNotAllowed, TooLarge

#: How deep an adapter may lie below a folder that is named, and how many files are looked at on the way.
_MAX_DEPTH, _MAX_FILES = 4, 10_000


def unpack_adapter(archive: Path, destination: Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> None:
    """Unpack the adapter's files of an uploaded zip. Raises UploadRefused, AdapterConfigRefused."""
    extract_files(archive, destination, choose_files, limits)


def copy_adapter(source: Path, destination: Path, *, max_file_bytes: int, roots: Sequence[Path] = ()) -> None:
    """Copy the adapter's files of a folder on this machine.

    With `roots` (resolved), every file has to lie below one of them once links are followed. Raises PathNotAllowed,
    PickleRefused, TooLarge, AdapterConfigRefused.
    """
    for path, name in choose_files(list_files(source)).items():
        file = (source / path).resolve()
        if roots and not any(file.is_relative_to(root) for root in roots):
            raise PathNotAllowed(f"{source / path} leads out of the allowed roots.")
        if file.stat().st_size > max_file_bytes:
            raise TooLarge(f"{name} has more than {max_file_bytes} bytes.")
        shutil.copyfile(file, destination / name)


def list_files(source: Path) -> Iterator[str]:
    """Files below a folder as relative paths; linked folders are not entered. Raises TooLarge."""
    count = 0
    for folder, folders, files in os.walk(source):
        below = Path(folder).relative_to(source)
        if len(below.parts) >= _MAX_DEPTH:
            folders.clear()
        count += len(files)
        if count > _MAX_FILES:
            raise TooLarge(f"{source} holds more than {_MAX_FILES} files.", hint="Name the adapter's own folder.")
        yield from (str(below / name) for name in files)

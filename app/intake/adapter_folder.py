"""The files of an adapter, out of an uploaded zip or a folder on this machine, into a folder of their own."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from app.intake.archives import DEFAULT_LIMITS, ArchiveLimits, extract_files
from influence.checkpoint_files.adapters.folders import choose_files, list_files
from influence.errors import PathNotAllowed, TooLarge

#: Says which files of an upload are an adapter's own: path -> plain name.
Choose = Callable[[Iterable[str]], Mapping[str, str]]


def unpack_adapter(
    archive: Path, destination: Path, limits: ArchiveLimits = DEFAULT_LIMITS, *, choose: Choose = choose_files
) -> None:
    """Unpack the adapter's files of an uploaded zip. Raises UploadRefused, AdapterConfigRefused."""
    extract_files(archive, destination, choose, limits)


def copy_adapter(
    source: Path,
    destination: Path,
    *,
    max_file_bytes: int,
    roots: Sequence[Path] = (),
    choose: Choose = choose_files,
) -> None:
    """Copy the adapter's files of a folder on this machine.

    With `roots` (resolved), every file has to lie below one of them once links are followed. Raises PathNotAllowed,
    PickleRefused, TooLarge, AdapterConfigRefused.
    """
    for path, name in choose(list_files(source)).items():
        file = (source / path).resolve()
        if roots and not any(file.is_relative_to(root) for root in roots):
            raise PathNotAllowed(f"{source / path} leads out of the allowed roots.")
        if file.stat().st_size > max_file_bytes:
            raise TooLarge(f"{name} has more than {max_file_bytes} bytes.")
        shutil.copyfile(file, destination / name)

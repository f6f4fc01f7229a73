"""The images of a data set as one file, for places where many small files are dear."""

import re
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from influence.errors import Internal
from influence.rows.images.store import IMAGE_SUFFIX, ImageStore, StagedImages

#: Beside the rows, where a data set has images.
PACK_NAME = "images.tar"
_MEMBER = re.compile(rf"[0-9a-f]{{64}}{re.escape(IMAGE_SUFFIX)}")


def pack_images(images: ImageStore, digests: Iterable[str], path: Path) -> None:
    """Write the images with these digests to a file, uncompressed: they are compressed themselves."""
    with tarfile.open(path, "w") as pack:
        for digest in digests:
            pack.add(images.path(digest), arcname=f"{digest}{IMAGE_SUFFIX}")


def unpack_images(path: Path, staged: StagedImages) -> None:
    """Write the images of a pack to a place for images on their way. Raises Internal for anything else in it."""
    try:
        with tarfile.open(path, "r:") as pack:
            for member in pack:
                if not member.isreg() or _MEMBER.fullmatch(member.name) is None:
                    raise Internal(f"The stored images hold {member.name[:80]!r}, which is none.")
                _write(pack.extractfile(member), staged.folder / member.name)
    except tarfile.TarError as error:
        raise Internal("The stored images cannot be read.", hint="Send the same data set again.") from error


def _write(source: IO[bytes] | None, path: Path) -> None:
    """The content alone: what a pack says of owners and modes does not count."""
    if source is None:
        raise Internal(f"The stored images hold {path.name!r} without content.")
    with source, path.open("wb") as image:
        shutil.copyfileobj(source, image)

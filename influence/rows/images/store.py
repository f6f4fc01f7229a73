"""Images of data sets on disk, each once: `<root>/<first two>/<digest>.png`, all written by this service itself.

Every data set has a list of its images beside its rows. What no list names is removed with the data set that named it.
Images and lists come and go under one lock of the file system, so that none is removed that another data set is just
being made of.
"""

import base64
import binascii
import fcntl
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from ulid import ULID

from influence.errors import Internal, NotFound
from influence.rows.images.content import describe_image, digest_image, write_png

#: The list of a data set's images: digests of 32 bytes.
LIST_NAME = "images.b32"
IMAGE_SUFFIX = ".png"
DIGEST_BYTES = 32
_LOCK = ".lock"
#: Images on their way in.
INCOMING = "incoming-*"


class StagedImages:
    """Images of a data set that is being read, in a folder of their own until it is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, image: Image.Image) -> dict[str, Any]:
        """Write an image; answers the field `image` of its row."""
        found = describe_image(image)
        path = self.folder / f"{found['digest']}{IMAGE_SUFFIX}"
        if not path.exists():
            with path.open("wb") as file:
                write_png(image, file)
        return found


class ImageStore:
    """The images below one folder. Threads and processes may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where an image lies. Raises NotFound for what is no digest."""
        if len(digest) != 2 * DIGEST_BYTES or not set(digest) <= set("0123456789abcdef"):
            raise NotFound("This names no image.")
        return self.root / digest[:2] / f"{digest}{IMAGE_SUFFIX}"

    def open(self, image: Mapping[str, Any]) -> Image.Image:
        """The RGB image of a row's field `image`, checked against its digest; one of an example lies in the field.

        Raises NotFound where it is not there, Internal where it is damaged.
        """
        try:
            opened = _load(image["png"]) if "png" in image else _load_file(self.path(str(image["digest"])))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(
                "An image of this data set is not on this machine.", hint="Send the data set again."
            ) from error
        except (OSError, ValueError, SyntaxError, UnidentifiedImageError, binascii.Error) as error:
            raise _damaged(image) from error
        if digest_image(opened) != image["digest"]:
            raise _damaged(image)
        return opened

    @contextmanager
    def staging(self) -> Iterator[StagedImages]:
        """A place for images of a data set that is being read; what was not published is gone afterwards."""
        folder = self.root / f"incoming-{ULID()}"
        folder.mkdir(parents=True)
        try:
            yield StagedImages(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all who publish and remove."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / _LOCK).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def publish(self, staged: StagedImages) -> None:
        """Move images to their addresses, each whole or not at all; to be called under `locked`."""
        for path in staged.folder.iterdir():
            place = self.path(path.stem)
            place.parent.mkdir(exist_ok=True)
            path.replace(place)

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of the digests that no image here has."""
        return [digest for digest in digests if not self.path(digest).is_file()]

    def remove_unlisted(self, digests: set[str], lists: Iterable[Path]) -> None:
        """Remove those of the digests that none of the lists names; to be called under `locked`."""
        unlisted = set(digests)
        for path in lists:
            unlisted -= set(read_list(path))
        for digest in unlisted:
            self.path(digest).unlink(missing_ok=True)

    def sweep(self, lists: Iterable[Path], *, before: float) -> list[Path]:
        """Remove images that none of the lists names and that nobody has written since (seconds since 1970): what a
        process left that was killed between images and list. Answers which. The lists are looked for when all who
        publish and remove are kept out."""
        if not self.root.is_dir():
            return []
        with self.locked():
            listed = {digest for path in lists for digest in read_list(path)}
            kept = self.root.glob(f"[0-9a-f][0-9a-f]/*{IMAGE_SUFFIX}")
            left = [path for path in kept if path.stem not in listed and path.lstat().st_mtime < before]
            for path in left:
                path.unlink(missing_ok=True)
        return left


#: Opens no image but those that a row holds itself.
NO_IMAGES = ImageStore(Path(os.devnull))


def images_beside(datasets: Path) -> ImageStore:
    """The images of the data sets that a folder holds."""
    return ImageStore(datasets.with_name("images"))


def write_list(folder: Path, digests: Iterable[str]) -> None:
    """Write down the images of a data set in its folder."""
    with (folder / LIST_NAME).open("wb") as file:
        file.writelines(bytes.fromhex(digest) for digest in sorted(set(digests)))
        file.flush()
        os.fsync(file.fileno())


def read_list(path: Path) -> list[str]:
    """The digests of a list; none where there is no list."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return [content[start : start + DIGEST_BYTES].hex() for start in range(0, len(content), DIGEST_BYTES)]


def _load_file(path: Path) -> Image.Image:
    with Image.open(path, formats=("PNG",)) as opened:
        return _as_rgb(opened)


def _load(png: str) -> Image.Image:
    with Image.open(io.BytesIO(base64.b64decode(png)), formats=("PNG",)) as opened:
        return _as_rgb(opened)


def _as_rgb(opened: Image.Image) -> Image.Image:
    opened.load()
    return opened if opened.mode == "RGB" else opened.convert("RGB")


def _damaged(image: Mapping[str, Any]) -> Internal:
    return Internal(
        f"The stored image {str(image.get('digest'))[:12]} is damaged.", hint="Send the same data set again."
    )

"""An image as people send it, in a cell of a table or in an example, and what takes it up."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from influence.errors import BrokenRow
from influence.rows.images.budget import MemoryBudget
from influence.rows.images.content import inline_image
from influence.rows.images.decoding import decoded_image
from influence.rows.images.limits import ImageLimits

#: What kind of file it is said to be decides nothing: what it is, is seen when it is decoded.
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_SPACE = str.maketrans("", "", " \t\r\n")
_URL_SAFE = str.maketrans("-_", "+/")
_ADDRESS = ("http://", "https://", "s3://", "gs://", "file://")
_HINT = "An image is the base64 of a PNG, JPEG or WebP file; files of images are sent as a zip, or as Parquet."


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file in an archive, read when its row is; `name` is what people call it, `size` what it says to have."""

    name: str
    size: int
    read: Callable[[], bytes]


class ImageKeeper(Protocol):
    """Where images of rows go."""

    def keep(self, image: Image.Image) -> dict[str, Any]:
        """Take up an RGB image; answers the field `image` of its row."""


class InlineKeeper:
    """Images of examples: they stay in the example, up to so many bytes of PNG in all."""

    def __init__(self, most_bytes: int = 16 << 20) -> None:
        self._room = most_bytes

    def keep(self, image: Image.Image) -> dict[str, Any]:
        found = inline_image(image)
        self._room -= len(found["png"])
        if self._room < 0:
            raise BrokenRow(
                "the images of these examples take too many bytes.",
                hint="Send them as a data set, and name its rows in 'rows'.",
            )
        return found


@dataclass(frozen=True, slots=True)
class ReadImage:
    """The field `image` of a row, and how the file was: its colour mode, and whether transparency was left out."""

    field: dict[str, Any]
    mode: str
    lost_alpha: bool


class ImageReader:
    """Reads cells that hold an image: decoded within the limits, handed to a keeper."""

    def __init__(self, keeper: ImageKeeper, limits: ImageLimits, budget: MemoryBudget | None = None) -> None:
        self._keeper = keeper
        self._limits = limits
        self._budget = budget or shared_budget(limits)

    def read(self, value: Any, column: str) -> ReadImage:
        """The image in a cell. Raises BrokenRow without a row number."""
        try:
            content = self._content_of(value)
            with decoded_image(content, self._limits, self._budget) as decoded:
                return ReadImage(self._keeper.keep(decoded.image), decoded.mode, decoded.lost_alpha)
        except BrokenRow as error:
            raise BrokenRow(
                f"column {column!r}{_named(value)}: {error.detail}", hint=error.hint, extra=error.extra
            ) from error

    def _content_of(self, value: Any) -> bytes:
        if isinstance(value, ImageFile):
            self._check_bytes(value.size)
        content = _content_of(value)
        self._check_bytes(len(content))
        return content

    def _check_bytes(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise BrokenRow(
                f"the image takes {size:,} bytes.",
                hint=f"At most {self._limits.max_bytes:,} are taken; scale it down.",
                extra={"bytes": size, "max_bytes": self._limits.max_bytes},
            )


_BUDGETS: dict[int, MemoryBudget] = {}


def shared_budget(limits: ImageLimits) -> MemoryBudget:
    """The one budget of this process for such limits."""
    return _BUDGETS.setdefault(limits.memory_bytes, MemoryBudget(limits.memory_bytes))


def _content_of(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, ImageFile):
        return value.read()
    if isinstance(value, Mapping) and value.keys() & {"bytes", "path"}:
        return _bytes_in(value)
    if isinstance(value, str) and value:
        return _from_base64(value)
    raise BrokenRow("there is no image.", hint=_HINT)


def _bytes_in(value: Mapping[str, Any]) -> bytes:
    content = value.get("bytes")
    if isinstance(content, bytes) and content:
        return content
    if isinstance(content, str) and content:
        return _from_base64(content)
    if isinstance(content, list) and content:
        return _from_numbers(content)
    raise BrokenRow(
        "the file holds the image's path and not its bytes.",
        hint="Write it with the images embedded, as push_to_hub and to_parquet of the datasets library do, or send a "
        "zip of the files.",
    )


def _from_numbers(content: list[Any]) -> bytes:
    """The bytes of a file as JSON has them where nobody thought of base64."""
    try:
        return bytes(content)
    except (TypeError, ValueError) as error:
        raise BrokenRow("the list holds more than bytes, numbers from 0 to 255.", hint=_HINT) from error


def _from_base64(text: str) -> bytes:
    """The bytes of base64: of a `data:` URL, in lines, in the letters of addresses and without its padding, too."""
    if text[:8].lower().startswith(_ADDRESS):
        raise BrokenRow("the text is the address of an image, and none is fetched.", hint=_HINT)
    front = _DATA_URL.match(text)
    body = (text if front is None else text[front.end() :]).translate(_SPACE)
    if "+" not in body and "/" not in body:
        body = body.translate(_URL_SAFE)
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BrokenRow("the text is no base64.", hint=_HINT) from error


def _named(value: Any) -> str:
    """The name of the image's file, where there is one."""
    name = value.name if isinstance(value, ImageFile) else value.get("path") if isinstance(value, Mapping) else None
    return f", {name[:120]!r}" if isinstance(name, str) and name else ""

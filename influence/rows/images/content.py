"""What an image is called: by its pixels, so that the same picture is one image whatever file it came in."""

import base64
import hashlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from PIL import Image

#: Rows of pixels that are read at once.
_BAND_PIXELS = 1 << 20
#: zlib's effort: most of what can be gained, at a third of the time.
_PNG_EFFORT = 3


def digest_image(image: Image.Image) -> str:
    """SHA-256, in hex, over `RGB <width>x<height>` with a line feed, and the pixels row by row."""
    found = hashlib.sha256(f"RGB {image.width}x{image.height}\n".encode())
    for band in _bands(image):
        found.update(band)
    return found.hexdigest()


def describe_image(image: Image.Image) -> dict[str, Any]:
    """The field `image` of a row: digest, width and height."""
    return {"digest": digest_image(image), "width": image.width, "height": image.height}


def write_png(image: Image.Image, file: BinaryIO) -> None:
    """Write an RGB image without any metadata."""
    image.save(file, "PNG", compress_level=_PNG_EFFORT)


def inline_image(image: Image.Image) -> dict[str, Any]:
    """The field `image` of a row that is in no data set: as `describe_image`, and the image itself, PNG in base64."""
    content = io.BytesIO()
    write_png(image, content)
    return {**describe_image(image), "png": base64.b64encode(content.getvalue()).decode()}


def _bands(image: Image.Image) -> Iterator[bytes]:
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height))).tobytes()

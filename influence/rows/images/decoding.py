"""Files of strangers -> RGB pixels. The one place where the bytes of an image that was sent are decoded.

PNG, JPEG and WebP, of one frame. Sizes are checked from the header, before pixels exist; images that are decoded at
once share a budget of memory. What is there beside the pixels (EXIF, colour profiles, texts) is dropped, the
orientation in EXIF applied first. Colours become RGB as Pillow's `convert("RGB")` makes them, which is what training
scripts call: a palette is looked up, grey repeated, CMYK turned, and an alpha channel left out, not blended.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError

from influence.errors import BrokenRow
from influence.rows.images.budget import MemoryBudget
from influence.rows.images.limits import PLAIN_PIXEL_BYTES, PROGRESSIVE_PIXEL_BYTES, WEBP_PIXEL_BYTES, ImageLimits

FORMATS = ("PNG", "JPEG", "WEBP")
# Sizes are refused from the header here, with limits of our own and an error of the house instead of a warning.
Image.MAX_IMAGE_PIXELS = None
#: Colour modes that become RGB without a guess: 8 bits a channel or less.
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
#: Those whose pixels are more than what becomes of them.
_WITH_ALPHA = frozenset({"LA", "PA", "RGBA"})
#: A JPEG that carries further pictures, such as a preview: the first is the picture.
_WITH_FURTHER = "MPO"
#: What Pillow raises on bytes that are not what they claim to be.
_BAD_BYTES = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    ArithmeticError,
    EOFError,
    TypeError,
    AttributeError,
    struct.error,
    zlib.error,
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """An RGB image without metadata, and the colour mode that its file had; `lost_alpha` where that held more."""

    image: Image.Image
    mode: str
    lost_alpha: bool = False


def decode_image(content: bytes, limits: ImageLimits, budget: MemoryBudget) -> Decoded:
    """Decode one image. Raises BrokenRow, without a row number, for all that is not one plain image within the limits.

    Waits while others hold the memory that it needs.
    """
    with _open(io.BytesIO(content)) as opened:
        _check_size(opened, limits)
        _check_kind(opened)
        with budget.held(_memory_bytes(opened, limits)):
            return _load(opened)


def _open(file: BinaryIO) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise BrokenRow("the image is no PNG, JPEG or WebP file.", hint="Save it in one of these formats.") from error
    except MemoryError as error:
        raise BrokenRow("the image asks for more memory than there is.", hint="Scale it down.") from error
    except _BAD_BYTES as error:
        raise _unreadable(error) from error


def _check_size(opened: Image.Image, limits: ImageLimits) -> None:
    width, height = opened.size
    pixels = width * height
    if max(width, height) > limits.max_side or pixels > limits.max_pixels or not pixels:
        raise BrokenRow(
            f"the image has {width} x {height} pixels.",
            hint=f"From 1 to {limits.max_side} a side and at most {limits.max_pixels:,} in all are taken. Scale it "
            "down: a model reads a few hundred pixels a side.",
            extra={"width": width, "height": height, "max_side": limits.max_side, "max_pixels": limits.max_pixels},
        )


def _check_kind(opened: Image.Image) -> None:
    if opened.format != _WITH_FURTHER and getattr(opened, "n_frames", 1) > 1:
        raise BrokenRow("the image is animated.", hint="Send the one frame that the model was trained on.")
    if opened.mode not in MODES:
        raise BrokenRow(
            f"the image has pixels of mode {opened.mode!r}.",
            hint="Save it with 8 bits a channel: how more were made of it in training is not known here.",
            extra={"mode": opened.mode},
        )


def _memory_bytes(opened: Image.Image, limits: ImageLimits) -> int:
    """What decoding takes. Raises BrokenRow where that is more than any image may."""
    each = PLAIN_PIXEL_BYTES
    if opened.format == "WEBP":
        each = WEBP_PIXEL_BYTES
    elif opened.info.get("progressive"):
        each = PROGRESSIVE_PIXEL_BYTES
    needed = opened.width * opened.height * each
    if needed > limits.memory_bytes:
        raise BrokenRow(
            f"the image has {opened.width} x {opened.height} pixels in a compression that is decoded as a whole.",
            hint=f"WebP and progressive JPEG are taken up to {limits.memory_bytes // each:,} pixels: save it as PNG or "
            "as baseline JPEG, or scale it down.",
            extra={"width": opened.width, "height": opened.height, "max_pixels": limits.memory_bytes // each},
        )
    return needed


def _load(opened: Image.Image) -> Decoded:
    try:
        turn = _TURNS.get(opened.getexif().get(ExifTags.Base.Orientation, 1))
        opened.load()
        mode, lost_alpha = opened.mode, opened.mode in _WITH_ALPHA or "transparency" in opened.info
        opened.info = {}
        image = opened.copy() if mode == "RGB" else opened.convert("RGB")
    except MemoryError as error:
        raise BrokenRow("the image asks for more memory than there is.", hint="Scale it down.") from error
    except _BAD_BYTES as error:
        raise _unreadable(error) from error
    opened.close()
    return Decoded(image if turn is None else image.transpose(turn), mode, lost_alpha)


def _unreadable(error: Exception) -> BrokenRow:
    return BrokenRow(
        f"the image cannot be decoded: {str(error)[:120] or type(error).__name__}.",
        hint="Check that the file is whole and opens in a viewer, or leave the row out.",
    )

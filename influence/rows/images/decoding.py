"""Files of strangers -> RGB pixels. The one place where the bytes of an image that was sent are decoded.

PNG, JPEG and WebP, of one frame. Sizes are checked from the header, before pixels exist; images that are decoded at
once share a budget of memory. What is there beside the pixels (EXIF, colour profiles, texts) is dropped, the
orientation in EXIF applied first. Colours become RGB as Pillow's `convert("RGB")` makes them, which is what training
scripts call: a palette is looked up, grey repeated, CMYK turned, and an alpha channel left out, not blended.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError

from influence.errors import BrokenRow
from influence.rows.images.budget import MemoryBudget
from influence.rows.images.limits import (
    CONVERTED_BYTES,
    ONE_CHANNEL_BYTES,
    PROGRESSIVE_BYTES,
    RGB_BYTES,
    WEBP_BYTES,
    ImageLimits,
)

_ORIENTATION = ExifTags.Base.Orientation
FORMATS = ("PNG", "JPEG", "WEBP")
# Sizes are refused from the header here, with limits of our own and an error of the house instead of a warning.
Image.MAX_IMAGE_PIXELS = None
#: Colour modes that become RGB without a guess: 8 bits a channel or less.
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
_ONE_CHANNEL = ("1", "L", "P")
#: Those that have a channel for how opaque a pixel is.
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


@contextmanager
def decoded_image(content: bytes, limits: ImageLimits, budget: MemoryBudget) -> Iterator[Decoded]:
    """One image, for as long as the block lasts: it waits for memory that others hold, and holds its own until then.

    Raises BrokenRow, without a row number, for all that is not one plain image within the limits.
    """
    with _open(io.BytesIO(content)) as opened:
        _check_size(opened, limits)
        _check_kind(opened)
        turn = _turn_of(opened)
        with budget.held(_memory_bytes(opened, limits, is_turned=turn is not None)):
            yield _load(opened, turn)


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


def _memory_bytes(opened: Image.Image, limits: ImageLimits, *, is_turned: bool) -> int:
    """What decoding takes. Raises BrokenRow where that is more than images may take together."""
    each = CONVERTED_BYTES
    if opened.format == "WEBP":
        each = WEBP_BYTES
    elif opened.info.get("progressive"):
        each = PROGRESSIVE_BYTES
    elif not is_turned:
        each = {"RGB": RGB_BYTES, **dict.fromkeys(_ONE_CHANNEL, ONE_CHANNEL_BYTES)}.get(opened.mode, each)
    needed = opened.width * opened.height * each
    if needed > limits.memory_bytes:
        most = limits.memory_bytes // each
        raise BrokenRow(
            f"the image has {opened.width} x {opened.height} pixels, which take {needed >> 20} MiB to decode.",
            hint=f"Of its kind at most {most:,} pixels are taken. Scale it down, or save it upright as PNG or baseline "
            "JPEG in RGB.",
            extra={"width": opened.width, "height": opened.height, "max_pixels": most},
        )
    return needed


def _turn_of(opened: Image.Image) -> Image.Transpose | None:
    """How an image is to be turned by its EXIF. Raises BrokenRow where that cannot be read."""
    try:
        # What the header holds: a PNG would be decoded to look for more behind its pixels.
        return _TURNS.get(Image.Image.getexif(opened).get(_ORIENTATION, 1))
    except _BAD_BYTES as error:
        raise _unreadable(error) from error


def _refuse_late_turn(opened: Image.Image) -> None:
    """Raise BrokenRow where EXIF behind the pixels says that they are to be turned."""
    exif = Image.Exif()
    exif.load(opened.info["exif"])
    if exif.get(_ORIENTATION, 1) in _TURNS:
        raise BrokenRow(
            "the image says how it is turned behind its pixels.", hint="Save it upright, or with EXIF first."
        )


def _load(opened: Image.Image, turn: Image.Transpose | None) -> Decoded:
    try:
        had_exif = "exif" in opened.info
        opened.load()
        if "exif" in opened.info and not had_exif:
            _refuse_late_turn(opened)
        mode, lost_alpha = opened.mode, _is_transparent(opened)
        opened.info = {}
        image = opened if mode == "RGB" else opened.convert("RGB")
    except MemoryError as error:
        raise BrokenRow("the image asks for more memory than there is.", hint="Scale it down.") from error
    except _BAD_BYTES as error:
        raise _unreadable(error) from error
    if image is not opened:
        opened.close()
    return Decoded(image if turn is None else image.transpose(turn), mode, lost_alpha)


def _is_transparent(opened: Image.Image) -> bool:
    """Whether some pixel is not opaque, or a colour is called transparent."""
    if opened.mode not in _WITH_ALPHA:
        return "transparency" in opened.info
    least, _ = opened.getchannel("A").getextrema()
    return isinstance(least, int) and least < 255


def _unreadable(error: Exception) -> BrokenRow:
    return BrokenRow(
        f"the image cannot be decoded: {str(error)[:120] or type(error).__name__}.",
        hint="Check that the file is whole and opens in a viewer, or leave the row out.",
    )

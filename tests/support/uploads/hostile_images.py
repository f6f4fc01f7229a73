"""Files that claim to be images, and what is to become of them."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from support.uploads.images import draw_image, file_bytes

_SIZE = (24, 16)


@dataclass(frozen=True)
class Hostile:
    """A file under a name; `said` is in the refusal's sentence, None where the file is taken as the image it shows."""

    name: str
    content: bytes
    said: str | None


def png_of(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 0, extra: bytes = b"") -> bytes:
    """A PNG with any header over any rows of pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pieces = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + pieces


def chunk(kind: bytes, content: bytes) -> bytes:
    """One part of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bombs() -> Iterator[Hostile]:
    """Small files that would decode to much."""
    yield Hostile("bomb of bits", png_of(16_000, 16_000, bytes(2001 * 16_000), depth=1), "16000 x 16000 pixels")
    yield Hostile("bomb of one row", png_of(2_000_000, 1, bytes(250_001), depth=1), "2000000 x 1 pixels")
    yield Hostile("header alone", png_of(2**31 - 1, 2**31 - 1, b""), "pixels")
    yield Hostile("no pixels", png_of(0, 0, b""), "the image")
    texts = bytes(100 << 20)
    yield Hostile(
        "bomb of text", png_of(8, 8, bytes(72), extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(texts, 9))), "image"
    )
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(texts, 9))
    yield Hostile("bomb of a profile", png_of(8, 8, bytes(72), extra=profile), "cannot be decoded")
    many = chunk(b"tEXt", b"a\0b") * 100_000
    yield Hostile("many texts", png_of(8, 8, bytes(72), extra=many), None)
    yield Hostile("huge JPEG", _resized_jpeg(65_500, 65_500), "65500 x 65500 pixels")
    yield Hostile("huge WebP", _resized_webp(16_383, 16_383), "16383 x 16383 pixels")
    yield Hostile("progressive beyond its limit", _resized_jpeg(4_000, 4_000, progressive=True), "MiB to decode")
    yield Hostile("WebP beyond its limit", _resized_webp(4_000, 4_000), "MiB to decode")


def lies() -> Iterator[Hostile]:
    """Files whose header and pixels do not agree, and files that end too early."""
    yield Hostile("too few pixels", png_of(3000, 3000, bytes(1000)), "cannot be decoded")
    yield Hostile("too many pixels", png_of(8, 8, bytes(9 * 100_000)), None)
    for kind in ("PNG", "JPEG", "WEBP"):
        whole = file_bytes(draw_image(1, (200, 200)), kind)
        for share in (0.01, 0.3, 0.6, 0.9):
            yield Hostile(f"{kind} cut at {share}", whole[: int(len(whole) * share)], "the image")
    yield Hostile("nothing", b"", "image")
    late = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    late += (
        chunk(b"IDAT", zlib.compress(bytes(72))) + chunk(b"eXIf", _exif(6, "late").tobytes()[6:]) + chunk(b"IEND", b"")
    )
    yield Hostile("turned behind its pixels", late, "behind its pixels")
    yield Hostile("noise", bytes(range(256)) * 40, "no PNG, JPEG or WebP")
    yield Hostile("JPEG inside", b"GIF89a" + file_bytes(draw_image(1), "JPEG"), "no PNG, JPEG or WebP")


def modes() -> Iterator[Hostile]:
    """Colours and frames other than plain RGB."""
    image = draw_image(1, _SIZE)
    for mode in ("1", "L", "LA", "P", "RGBA"):
        yield Hostile(f"PNG of {mode}", file_bytes(image.convert(mode), "PNG"), None)
    yield Hostile(
        "PNG with transparent places", file_bytes(image.convert("P"), "PNG", transparency=bytes(range(200))), None
    )
    yield Hostile("CMYK", file_bytes(image.convert("CMYK"), "JPEG"), None)
    yield Hostile("grey JPEG", file_bytes(image.convert("L"), "JPEG"), None)
    yield Hostile("16 bits of grey", file_bytes(Image.new("I;16", _SIZE), "PNG"), "mode 'I;16'")
    yield Hostile("16 bits of colour", png_of(2, 2, bytes(13 * 2), depth=16, colour=2), None)
    frames: dict[str, Any] = {"save_all": True, "append_images": [draw_image(2, _SIZE)]}
    yield Hostile("animated PNG", file_bytes(image, "PNG", **frames), "animated")
    yield Hostile("animated WebP", file_bytes(image, "WEBP", **frames), "animated")
    yield Hostile("JPEG with a second picture", file_bytes(image, "MPO", **frames), None)


def polyglots() -> Iterator[Hostile]:
    """Images that are something else, too, or carry what nobody asked for: only pixels are kept."""
    image = draw_image(1, _SIZE)
    info = PngInfo()
    info.add_text("comment", "<script>alert('polyglot')</script>")
    yield Hostile("PNG with a script", file_bytes(image, "PNG", pnginfo=info), None)
    yield Hostile("PNG before a zip", file_bytes(image) + b"PK\x05\x06" + bytes(18) + b"polyglot", None)
    yield Hostile("JPEG with a script", file_bytes(image, "JPEG", comment=b"<?php polyglot ?>"), None)
    yield Hostile("WebP with EXIF", file_bytes(image, "WEBP", lossless=True, exif=_exif(1, "polyglot")), None)


def other_formats() -> Iterator[Hostile]:
    """The picture in every format that Pillow writes and that is not read here."""
    Image.init()
    for kind in sorted(set(Image.SAVE) - {"PNG", "JPEG", "WEBP", "MPO"}):
        written = (_written(kind, mode) for mode in ("RGB", "L", "1", "P", "F"))
        if (content := next((found for found in written if found), None)) is not None:
            yield Hostile(kind, content, "no PNG, JPEG or WebP")


def _written(kind: str, mode: str) -> bytes | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return file_bytes(draw_image(1, (32, 32)).convert(mode), kind)
        except (OSError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError):
            return None


def turned(orientation: int) -> bytes:
    """The picture as a camera that was held otherwise would have saved it."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    image = draw_image(1, _SIZE)
    if orientation in back:
        image = image.transpose(Image.Transpose(back[orientation]))
    return file_bytes(image, "PNG", exif=_exif(orientation, "camera"))


def _exif(orientation: int, remark: str) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.ImageDescription] = orientation, remark
    return exif


def _resized_jpeg(width: int, height: int, **options: Any) -> bytes:
    """A small JPEG whose header says another size."""
    content = file_bytes(draw_image(1, (32, 32)), "JPEG", **options)
    at = content.index(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0")
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


def _resized_webp(width: int, height: int) -> bytes:
    """A small lossless WebP whose header says another size."""
    content = file_bytes(draw_image(1, (32, 32)), "WEBP", lossless=True)
    at = content.index(b"VP8L") + 9
    bits = struct.unpack("<I", content[at : at + 4])[0] >> 28 << 28 | (height - 1) << 14 | (width - 1)
    return content[:at] + struct.pack("<I", bits) + content[at + 4 :]

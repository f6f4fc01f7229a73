"""The bytes of a text file as UTF-8, decompressed on the way and counted as they are produced."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from app.intake.tables.limits import TableLimits, refuse_size
from influence.contracts.dataset import Compression, Encoding
from influence.errors import UnreadableFile

_MAGIC: dict[bytes, Compression] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_OPENING_BYTES = 4096
_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class TextSource:
    """A file that may be compressed or UTF-16. Every `open()` reads it from the start.

    Reading raises TooLarge past `limits.max_bytes` of what it expands to, and UnreadableFile where it is damaged.
    """

    path: Path
    limits: TableLimits
    compression: Compression | None = None
    encoding: Encoding = "utf-8"

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The plain bytes, in UTF-8 whatever the file is in; a byte order mark of UTF-8 is passed over."""
        with self._decompressed() as plain:
            counted: BinaryIO = io.BufferedReader(_Counted(plain, self.limits), _PIECE_BYTES)
            if self.encoding == "utf-16":
                counted = io.BufferedReader(_Utf8(counted), _PIECE_BYTES)
            if not counted.peek(3).startswith(codecs.BOM_UTF8):  # type: ignore[attr-defined]
                yield counted
                return
            counted.read(3)
            yield counted

    def opening(self) -> bytes:
        """The first bytes."""
        with self.open() as file:
            return file.read(_OPENING_BYTES)

    def is_blank(self) -> bool:
        """Whether the first bytes, which are blank, are all."""
        with self.open() as file:
            return len(file.read(_OPENING_BYTES + 1)) <= _OPENING_BYTES

    @contextmanager
    def _decompressed(self) -> Iterator[Any]:
        with self.path.open("rb") as raw:
            if self.compression == "gzip":
                with gzip.GzipFile(fileobj=raw) as plain:
                    yield plain
            elif self.compression == "zstd":
                with pa.PythonFile(raw, mode="r") as file, pa.CompressedInputStream(file, "zstd") as stream:
                    yield stream
            else:
                yield raw


def find_source(path: Path, limits: TableLimits) -> TextSource:
    """How a file is compressed and encoded, by its first bytes. Raises UnreadableFile, TooLarge."""
    with path.open("rb") as file:
        raw = file.read(4)
    compression = next((kind for magic, kind in _MAGIC.items() if raw.startswith(magic)), None)
    source = TextSource(path, limits, compression)
    opening = source.opening()
    if opening.startswith(_UTF_32):
        raise UnreadableFile("The file is UTF-32.", hint="Save it as UTF-8.")
    return TextSource(path, limits, compression, "utf-16") if opening.startswith(_UTF_16) else source


class _Counted(io.RawIOBase):
    """What a decompressor gives, counted, its errors made ours."""

    def __init__(self, plain: Any, limits: TableLimits) -> None:
        self._plain = plain
        self._limits = limits
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._plain.read(len(buffer))
        except (EOFError, zlib.error, OSError, pa.ArrowException) as error:
            raise UnreadableFile(
                f"The file cannot be decompressed: {str(error)[:200]}.", hint="Check that the upload is whole."
            ) from error
        self._count += len(piece)
        if self._count > self._limits.max_bytes:
            refuse_size(f"more than {self._limits.max_bytes} bytes when expanded", self._limits)
        buffer[: len(piece)] = piece
        return len(piece)


class _Utf8(io.RawIOBase):
    """UTF-16 with its byte order mark, written as UTF-8."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-16")()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            piece = self._source.read(_PIECE_BYTES)
            try:
                self._ready = self._decoder.decode(piece, final=not piece).encode()
            except UnicodeError as error:
                raise UnreadableFile("The file is no valid UTF-16.", hint="Save it as UTF-8.") from error
            if not piece:
                break
        taken = self._ready[: len(buffer)]
        self._ready = self._ready[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

"""Arrays as checksummed Redis values.

An array is cut into pieces of at most `MAX_VALUE_BYTES`: values just under 4 MiB are cheapest in memory (an exact
power of two costs a quarter more) and fastest to read. Each piece starts with a 64-byte header that says what it is
part of, so that a damaged, short or foreign value is found out, never scored.
"""

import math
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
import redis
from isal.isal_zlib import crc32  # zlib's checksum, five to ten times as fast
from numpy.typing import NDArray

from influence.store.data.vault.port import Content

MAX_VALUE_BYTES = (4 << 20) - 128
_MAGIC = b"DIC1"
#: magic, dtype code, dimensions, crc32 of the payload, array bytes, offset of this piece, up to four sizes
_HEADER = struct.Struct("<4sBBxxIQQ4Q")
HEADER_BYTES = _HEADER.size
PAYLOAD_BYTES = MAX_VALUE_BYTES - HEADER_BYTES
_DTYPES = ("float32", "float16", "float64", "int8", "uint8", "int32", "int64", "uint16")

Key = Callable[[int], str]


class SecondCopies(Protocol):
    """Where the values of keys are kept once more."""

    def fill(self, wanted: Mapping[str, Sequence[memoryview]]) -> Collection[str]:
        """Read values, which are not checked, each into its buffers one after another; answers the keys of those that
        this machine has, of just their length. It is then faster than any server."""

    def at_hand(self, key: str) -> Content | None:
        """The value where it is in memory already: nobody else need be asked for it."""

    def read_back(self, key: str) -> Content | None:
        """The value, read from where it is kept; None where it is not."""


class DamagedChunk(Exception):
    """A value is not the piece that was written; the caller computes the shard again."""


def _count_pieces(total_bytes: int) -> int:
    """How many values an array takes; at least one, so that an empty array is told from a lost one."""
    return max(1, math.ceil(total_bytes / PAYLOAD_BYTES))


def pack(array: NDArray[np.generic]) -> list[bytes]:
    """Cut an array (at most four dimensions) into framed pieces."""
    if array.ndim > 4:
        raise ValueError("a chunk has at most four dimensions")
    payload = np.ascontiguousarray(array).data.cast("B") if array.size else memoryview(b"")
    starts = range(0, max(len(payload), 1), PAYLOAD_BYTES)
    return [_frame(array, payload, start) for start in starts]


def _frame(array: NDArray[np.generic], payload: memoryview, start: int) -> bytes:
    piece = payload[start : start + PAYLOAD_BYTES]
    sizes = [*array.shape, 0, 0, 0, 0][:4]
    code = _DTYPES.index(array.dtype.name)
    header = _HEADER.pack(_MAGIC, code, array.ndim, crc32(piece), len(payload), start, *sizes)
    return header + piece


def unpack(pieces: Sequence[bytes | None]) -> NDArray[np.generic]:
    """Join pieces into the array that was packed.

    Raises DamagedChunk when a piece is missing, short, altered or of another array.
    """
    code, dimensions, _, total, _, *sizes = _read_header(pieces[0])
    array = _allocate(sizes[:dimensions], _DTYPES[code], total)
    if len(pieces) != _count_pieces(total):
        raise DamagedChunk("wrong number of pieces")
    for number, piece in enumerate(pieces):
        _place(piece, number, array)
    return array


def _allocate(shape: Sequence[int], dtype: str, total: int) -> NDArray[np.generic]:
    """A header is not yet checked when its sizes are believed: they must at least agree with each other."""
    if math.prod(shape) * np.dtype(dtype).itemsize != total:
        raise DamagedChunk("a header contradicts itself")
    return np.empty(shape, dtype)


def _place(piece: Content | None, number: int, array: NDArray[np.generic]) -> None:
    """Check one piece against the array that it is part of, then copy it to its place there."""
    payload = memoryview(piece or b"")[HEADER_BYTES:]
    _check(piece, payload, number, array)
    if len(payload):  # by numpy, beside which other threads read on
        np.copyto(np.frombuffer(_bytes_of(array, number), np.uint8), np.frombuffer(payload, np.uint8))


def _check(piece: Content | None, payload: memoryview, number: int, array: NDArray[np.generic]) -> None:
    """Check a piece, or its header, and its payload against the array that they are part of."""
    code, dimensions, checksum, total, start, *sizes = _read_header(piece)
    if _DTYPES[code] != array.dtype.name or tuple(sizes[:dimensions]) != array.shape or total != array.nbytes:
        raise DamagedChunk(
            f"expected {array.dtype.name}{array.shape}, found {_DTYPES[code]}{tuple(sizes[:dimensions])}"
        )
    if start != number * PAYLOAD_BYTES or len(payload) != min(PAYLOAD_BYTES, total - start):
        raise DamagedChunk("a piece belongs to another place")
    if crc32(payload) != checksum:
        raise DamagedChunk("a piece does not match its checksum")


def _bytes_of(array: NDArray[np.generic], number: int) -> memoryview:
    """The bytes of an array that lie in one of its pieces."""
    if not array.nbytes:
        return memoryview(bytearray())
    start = number * PAYLOAD_BYTES
    return array.reshape(-1).view(np.uint8)[start : start + PAYLOAD_BYTES].data


def names_of(key: Key, array: NDArray[np.generic]) -> list[str]:
    """The keys of the pieces of an array like this one."""
    return [key(number) for number in range(_count_pieces(array.nbytes))]


def count_pieces(first: bytes | None) -> int:
    """How many pieces belong to an array, by its first one. Raises DamagedChunk."""
    return _count_pieces(_read_header(first)[3])


def check_piece(piece: bytes | None) -> bytes:
    """A piece that is there and matches its checksum. Raises DamagedChunk."""
    checksum = _read_header(piece)[2]
    if piece is None or crc32(memoryview(piece)[HEADER_BYTES:]) != checksum:
        raise DamagedChunk("a piece does not match its checksum")
    return piece


def _read_header(piece: Content | None) -> tuple[int, ...]:
    if piece is None:
        raise DamagedChunk("a piece is missing")
    if len(piece) < HEADER_BYTES:
        raise DamagedChunk("a piece is shorter than its header")
    magic, *fields = _HEADER.unpack_from(piece)
    if magic != _MAGIC or fields[0] >= len(_DTYPES) or fields[1] > 4:
        raise DamagedChunk("a value is not a chunk")
    return tuple(fields)


def write_array(
    client: redis.Redis, key: Key, array: NDArray[np.generic], *, lifetime_seconds: int | None = None
) -> tuple[int, int]:
    """Write an array under `key(0)`, `key(1)`, ...; answer (bytes, pieces) written."""
    pieces = pack(array)
    for number, piece in enumerate(pieces):
        client.set(key(number), piece, ex=lifetime_seconds)
    return sum(map(len, pieces)), len(pieces)


def read_array(
    client: redis.Redis,
    key: Key,
    shape: Sequence[int],
    dtype: str,
    *,
    lifetime_seconds: int | None = None,
    copies: SecondCopies | None = None,
) -> NDArray[np.generic]:
    """Read an array back; its lifetime, where it has one, starts anew.

    Raises DamagedChunk when it is lost or is not of this shape and dtype.
    """
    array: NDArray[np.generic] = np.empty(tuple(shape), dtype)
    read_all_into(client, [(key, array)], copies)
    if lifetime_seconds is not None:
        refresh(client, [key(number) for number in range(_count_pieces(array.nbytes))], lifetime_seconds)
    return array


def read_all_into(
    client: redis.Redis, arrays: Iterable[tuple[Key, NDArray[np.generic]]], copies: SecondCopies | None = None
) -> None:
    """Read what was written from arrays like these (contiguous) into them: one copy, and no second array.

    A piece is taken from `copies` where they have it on this machine, or where it is lost or damaged. Raises
    DamagedChunk, and leaves what it has read so far, when they have none or that is not of its array's shape and dtype.
    """
    spots = [_Spot(name, number, array) for key, array in arrays for number, name in enumerate(names_of(key, array))]
    if copies is None:
        for spot in spots:  # one at a time: a pipeline holds many replies, and is no faster
            _place(cast("bytes | None", client.get(spot.name)), spot.number, spot.array)
        return
    filled = copies.fill({spot.name: [memoryview(spot.header), spot.payload] for spot in spots})
    for spot in spots:
        if spot.name not in filled or not spot.is_whole():
            _read_piece(client, copies, spot.name, spot.number, spot.array)


@dataclass(frozen=True)
class _Spot:
    """Where a piece of an array goes, and room for its header."""

    name: str
    number: int
    array: NDArray[np.generic]
    header: bytearray = field(default_factory=lambda: bytearray(HEADER_BYTES))

    @property
    def payload(self) -> memoryview:
        return _bytes_of(self.array, self.number)

    def is_whole(self) -> bool:
        """Whether what was read to here is the piece."""
        try:
            _check(memoryview(self.header), self.payload, self.number, self.array)
        except DamagedChunk:
            return False
        return True


def _read_piece(client: redis.Redis, copies: SecondCopies, name: str, number: int, array: NDArray[np.generic]) -> None:
    try:
        _place(copies.at_hand(name) or cast("bytes | None", client.get(name)), number, array)
    except DamagedChunk:
        again = copies.read_back(name)
        if again is None:
            raise
        _place(again, number, array)


def refresh(client: redis.Redis, names: Sequence[str], lifetime_seconds: int) -> None:
    """Start the lifetime of keys anew, in one round trip."""
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.expire(name, lifetime_seconds)
    pipeline.execute()

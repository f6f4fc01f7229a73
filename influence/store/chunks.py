"""Arrays as checksummed Redis values.

An array is cut into pieces of at most `MAX_VALUE_BYTES`: values just under 4 MiB are cheapest in memory (an exact
power of two costs a quarter more) and fastest to read. Each piece starts with a 64-byte header that says what it is
part of, so that a damaged, short or foreign value is found out, never scored.
"""

import math
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import redis
from numpy.typing import NDArray

MAX_VALUE_BYTES = (4 << 20) - 128
_MAGIC = b"DIC1"
#: magic, dtype code, dimensions, crc32 of the payload, array bytes, offset of this piece, up to four sizes
_HEADER = struct.Struct("<4sBBxxIQQ4Q")
HEADER_BYTES = _HEADER.size
PAYLOAD_BYTES = MAX_VALUE_BYTES - HEADER_BYTES
#: Pieces asked for in one round trip: large replies are several times slower than a few medium ones.
_PIECES_PER_READ = 4
_DTYPES = ("float32", "float16", "float64", "int8", "uint8", "int32", "int64", "uint16")

Key = Callable[[int], str]


class DamagedChunk(Exception):
    """A value is not the piece that was written; the caller computes the shard again."""


def count_pieces(shape: Sequence[int], dtype: str) -> int:
    """How many values an array takes; at least one, so that an empty array is told from a lost one."""
    return max(1, math.ceil(math.prod(shape) * np.dtype(dtype).itemsize / PAYLOAD_BYTES))


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
    header = _HEADER.pack(_MAGIC, code, array.ndim, zlib.crc32(piece), len(payload), start, *sizes)
    return header + piece


def unpack(pieces: Sequence[bytes | None]) -> NDArray[np.generic]:
    """Join pieces into the array that was packed.

    Raises DamagedChunk when a piece is missing, short, altered or of another array.
    """
    first = _read_header(pieces[0])
    code, dimensions, _, total, _, *sizes = first
    joined = bytearray(total)
    for number, piece in enumerate(pieces):
        _copy_piece(piece, first, number * PAYLOAD_BYTES, joined)
    if len(pieces) != max(1, math.ceil(total / PAYLOAD_BYTES)):
        raise DamagedChunk("wrong number of pieces")
    return np.frombuffer(joined, dtype=_DTYPES[code]).reshape(sizes[:dimensions])


def _copy_piece(piece: bytes | None, first: tuple[int, ...], start: int, joined: bytearray) -> None:
    header = _read_header(piece)
    payload = memoryview(piece or b"")[HEADER_BYTES:]
    expected = min(PAYLOAD_BYTES, len(joined) - start)
    same_array = header[:2] == first[:2] and header[3] == first[3] and header[5:] == first[5:]
    if not same_array or header[4] != start or len(payload) != expected:
        raise DamagedChunk("a piece belongs to another array")
    if zlib.crc32(payload) != header[2]:
        raise DamagedChunk("a piece does not match its checksum")
    joined[start : start + expected] = payload


def _read_header(piece: bytes | None) -> tuple[int, ...]:
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
    client: redis.Redis, key: Key, shape: Sequence[int], dtype: str, *, lifetime_seconds: int | None = None
) -> NDArray[np.generic]:
    """Read an array back; its lifetime, where it has one, starts anew.

    Raises DamagedChunk when it is lost or is not of this shape and dtype.
    """
    names = [key(number) for number in range(count_pieces(shape, dtype))]
    array = unpack(list(_read_values(client, names)))
    if array.shape != tuple(shape) or array.dtype.name != dtype:
        raise DamagedChunk(f"expected {dtype}{tuple(shape)}, found {array.dtype.name}{array.shape}")
    if lifetime_seconds is not None:
        refresh(client, names, lifetime_seconds)
    return array


def _read_values(client: redis.Redis, names: Sequence[str]) -> Iterable[bytes | None]:
    for start in range(0, len(names), _PIECES_PER_READ):
        pipeline = client.pipeline(transaction=False)
        for name in names[start : start + _PIECES_PER_READ]:
            pipeline.get(name)
        yield from pipeline.execute()


def refresh(client: redis.Redis, names: Sequence[str], lifetime_seconds: int) -> None:
    """Start the lifetime of keys anew, in one round trip."""
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.expire(name, lifetime_seconds)
    pipeline.execute()

"""The header of a safetensors file, however hostile: names, types, shapes and places, without reading a weight."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from influence.errors import UnreadableFile

MAX_HEADER_BYTES = 32 << 20
MAX_DIMENSIONS = 8
#: More than the largest mixtures of experts have in one file; each is looked at several times.
MAX_TENSORS = 100_000
_PIECE_BYTES = 4 << 20
_METADATA = "__metadata__"
#: Bytes of one element.
DTYPE_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: bytes [start, stop) of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def read_header(file: Path) -> dict[str, TensorInfo]:
    """Tensors by name, in the order of their bytes. Raises UnreadableFile.

    Every byte behind the header belongs to exactly one tensor, as the format demands: no gaps, no overlaps.
    """
    size = file.stat().st_size
    header, length = _read(file, size)
    if len(header) > MAX_TENSORS:
        raise _unreadable(file, f"it names {len(header):,} tensors, more than {MAX_TENSORS:,}")
    tensors = {name: _tensor(file, name, entry, 8 + length) for name, entry in header.items() if name != _METADATA}
    tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)))
    end = 8 + length
    for name, tensor in tensors.items():
        if tensor.start != end:
            raise _unreadable(file, f"the bytes of {name[:120]!r} do not follow the tensor before")
        end = tensor.stop
    if end != size:
        raise _unreadable(file, "the file is cut short or has bytes behind the last tensor")
    return tensors


def read_metadata(file: Path) -> dict[str, str]:
    """What a file says of itself: text by name, empty where it says nothing. Raises UnreadableFile."""
    written = _read(file, file.stat().st_size)[0].get(_METADATA)
    fields = written if isinstance(written, dict) else {}
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def write_tensors(destination: Path, source: Path, tensors: Mapping[str, TensorInfo]) -> None:
    """Some tensors of one file as another, under other names, in the order given. Copies in pieces of 4 MiB."""
    entries, end = dict[str, Any](), 0
    for name, tensor in tensors.items():
        size = tensor.stop - tensor.start
        entries[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with source.open("rb") as read, destination.open("wb") as write:
        write.write(len(header).to_bytes(8, "little") + header)
        for tensor in tensors.values():
            read.seek(tensor.start)
            left = tensor.stop - tensor.start
            while left > 0:
                piece = read.read(min(_PIECE_BYTES, left))
                if not piece:
                    raise _unreadable(source, "it was cut short while it was read")
                write.write(piece)
                left -= len(piece)


def have_same_bytes(file: Path, first: TensorInfo, second: TensorInfo, other_file: Path | None = None) -> bool:
    """Whether two tensors are the same: type, shape and values. They lie in one file, or the second in `other_file`.
    Reads in pieces of 4 MiB."""
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    with file.open("rb") as one, (other_file or file).open("rb") as other:
        one.seek(first.start)
        other.seek(second.start)
        left = first.stop - first.start
        while left > 0:
            length = min(_PIECE_BYTES, left)
            if one.read(length) != other.read(length):
                return False
            left -= length
    return True


def _read(file: Path, size: int) -> tuple[Mapping[str, Any], int]:
    """The header of a file of so many bytes, and its length."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8 or length > MAX_HEADER_BYTES:
            raise _unreadable(file, "its header is longer than the file or than 32 MiB")
        return _parse(file, stream.read(length)), length


def _parse(file: Path, content: bytes) -> Mapping[str, Any]:
    try:
        header = json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _unreadable(file, "its header is not JSON, or names a tensor twice") from error
    if not isinstance(header, dict):
        raise _unreadable(file, "its header is no object")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _tensor(file: Path, name: str, entry: Any, data_start: int) -> TensorInfo:
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    dtype: Any = fields.get("dtype")
    shape: Any = fields.get("shape")
    offsets: Any = fields.get("data_offsets")
    if (
        not isinstance(dtype, str)
        or dtype not in DTYPE_BYTES
        or not _are_sizes(shape, MAX_DIMENSIONS)
        or not _are_sizes(offsets, 2)
        or len(offsets) != 2
        or math.prod(shape) * DTYPE_BYTES[dtype] != offsets[1] - offsets[0]
    ):
        raise _unreadable(file, f"the entry of {name[:120]!r} makes no sense")
    return TensorInfo(dtype, tuple(shape), data_start + offsets[0], data_start + offsets[1])


def _are_sizes(values: Any, most: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= most
        and all(type(value) is int and 0 <= value < 1 << 62 for value in values)
    )


def _unreadable(file: Path, reason: str) -> UnreadableFile:
    return UnreadableFile(
        f"{file.name} is no sound safetensors file: {reason}.", hint="Save the adapter again and send the whole file."
    )

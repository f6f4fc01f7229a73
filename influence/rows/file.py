"""The rows of one data set on disk: lines of JSON, with offsets for random access and a hash per row.

rows.jsonl      one normalised row a line
offsets.i64     rows + 1 little-endian int64: where each line begins, then where the last one ends
hashes.b16      16 bytes per row over its content without id and metadata, to match rows between versions of a data set
summary.json    rows, bytes, digest; written last
"""

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray
from ulid import ULID

from influence.contracts.dataset import RowKind
from influence.digests import DIGEST_CHARACTERS, canonical_json, digest_json
from influence.errors import EmptyFile, Internal, NotFound
from influence.rows.repeats import HASH_BYTES, hash_bytes

#: Raised when the files change their form.
FORMAT_VERSION = 1
_NO_CONTENT = frozenset({"id", "metadata"})
ROW_FILES = ("rows.jsonl", "offsets.i64", "hashes.b16", "summary.json")


@dataclass(frozen=True, slots=True)
class RowFileSummary:
    """Rows, bytes of rows.jsonl, and the digest of those bytes."""

    rows: int
    bytes: int
    digest: str
    version: int = FORMAT_VERSION


def dataset_digest(
    kind: RowKind, label_names: Sequence[str] | None, columns: Mapping[str, str], summary: RowFileSummary
) -> str:
    """The address of a data set: its kind, label names, columns by role, and normalised rows in their order."""
    return digest_json(
        {
            "version": FORMAT_VERSION,
            "kind": kind,
            "label_names": list(label_names) if label_names is not None else None,
            "columns": dict(columns),
            "rows": summary.digest,
        }
    )


def content_hash_input(row: dict[str, Any]) -> bytes:
    """What a row says to a model, without its id and metadata, as bytes."""
    return canonical_json({name: value for name, value in row.items() if name not in _NO_CONTENT})


def write_rows(folder: Path, rows: Iterable[dict[str, Any]]) -> RowFileSummary:
    """Write rows into the new folder `folder` in one pass, whole or not at all.

    Raises EmptyFile when there are none, and whatever the iteration raises; nothing is left behind then.
    """
    staging = folder.parent / f".{folder.name}.{ULID()}"
    staging.mkdir(parents=True)
    try:
        summary = _write_files(staging, rows)
        _sync(staging)
        staging.rename(folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return summary


def _write_files(folder: Path, rows: Iterable[dict[str, Any]]) -> RowFileSummary:
    lines_path, offsets_path, hashes_path, summary_path = (folder / name for name in ROW_FILES)
    digest, end, count = hashlib.sha256(), 0, 0
    with lines_path.open("wb") as lines, offsets_path.open("wb") as offsets, hashes_path.open("wb") as hashes:
        offsets.write(end.to_bytes(8, "little"))
        for count, row in enumerate(rows, start=1):  # noqa: B007 - the count outlives the loop
            line = _line(row)
            digest.update(line)
            end += len(line)
            lines.write(line)
            offsets.write(end.to_bytes(8, "little"))
            hashes.write(hash_bytes(content_hash_input(row)))
        for file in (lines, offsets, hashes):
            _flush(file)
    if not count:
        raise EmptyFile("The data set holds no rows.", hint="Send a file with at least one row.")
    summary = RowFileSummary(count, end, digest.hexdigest()[:DIGEST_CHARACTERS])
    with summary_path.open("wb") as file:
        file.write(canonical_json(asdict(summary)))
        _flush(file)
    return summary


def _line(row: dict[str, Any]) -> bytes:
    # Keys stay in their order: chat templates print the arguments of tool calls as they stand.
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RowFile:
    """Random access to the rows of a folder that `write_rows` made.

    Opening checks the sizes of all files against each other, and the content of every row read is checked against its
    hash; `verify()` reads everything, metadata too. Raises NotFound (no such folder) and Internal (damaged). With
    `class_names` a class number becomes the name of that number.
    """

    def __init__(self, folder: Path, class_names: Sequence[str] | None = None) -> None:
        self.folder = folder
        self._class_names = class_names
        self.summary = self._read_summary()
        self._offsets: NDArray[np.int64] = self._map("offsets.i64", np.dtype("<i8"), 1, self.summary.rows + 1)[:, 0]
        self._hashes: NDArray[np.uint8] = self._map("hashes.b16", np.dtype("u1"), HASH_BYTES, self.summary.rows)
        if int(self._offsets[0]) != 0 or int(self._offsets[-1]) != self.summary.bytes:
            self._damaged("the offsets do not span the rows")
        with self._path("rows.jsonl", self.summary.bytes).open("rb") as file:
            self._lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return self.summary.rows

    def read(self, start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
        """Rows start..stop, as a slice would give them."""
        return self.read_many(range(*slice(start, stop).indices(len(self))))

    def read_many(self, indexes: Iterable[int]) -> list[dict[str, Any]]:
        """Rows in the order of `indexes`. Raises NotFound for an index outside 0..rows-1."""
        return [self._named(self._row(int(index))) for index in indexes]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._named(self._row(index)) for index in range(len(self)))

    def parse_all(self) -> Iterator[dict[str, Any]]:
        """All rows as they lie, in order, unchecked and unnamed: for what is made from rows and only leads to them."""
        offsets = self._offsets.tolist()
        for start, stop in pairwise(offsets):
            yield json.loads(self._lines[start:stop])

    def row_digests(self) -> NDArray[np.uint8]:
        """Hashes of the rows' contents without their ids; shape (rows, 16), uint8, read-only."""
        return self._hashes

    def verify(self) -> None:
        """Read every byte. Raises Internal where rows.jsonl is not what was written."""
        if hashlib.sha256(self._lines).hexdigest()[:DIGEST_CHARACTERS] != self.summary.digest:
            self._damaged("rows.jsonl has another digest")
        for _ in self:
            pass

    def close(self) -> None:
        """Give the mapping of rows.jsonl back."""
        self._lines.close()

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _row(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise NotFound(
                f"There is no row {index}.",
                hint=f"Rows go from 0 to {len(self) - 1}.",
                extra={"row_index": index, "rows": len(self)},
            )
        line = self._lines[int(self._offsets[index]) : int(self._offsets[index + 1])]
        try:
            row = json.loads(line)
        except ValueError:
            self._damaged(f"row {index} is no JSON")
        if not isinstance(row, dict) or hash_bytes(content_hash_input(row)) != self._hashes[index].tobytes():
            self._damaged(f"row {index} is not what was written")
        return row

    def _named(self, row: dict[str, Any]) -> dict[str, Any]:
        label = row.get("label")
        if self._class_names is None:
            return row
        if isinstance(label, list):
            return {**row, "label": [self._name(item) for item in label]}
        return {**row, "label": self._name(label)}

    def _name(self, label: Any) -> Any:
        assert self._class_names is not None
        return self._class_names[label] if isinstance(label, int) else label

    def _read_summary(self) -> RowFileSummary:
        try:
            summary = RowFileSummary(**json.loads((self.folder / "summary.json").read_bytes()))
        except FileNotFoundError as error:
            raise NotFound(
                "The rows of this data set are not on this machine.", hint="Send the data set again."
            ) from error
        except (ValueError, TypeError):
            self._damaged("summary.json cannot be read")
        if summary.version != FORMAT_VERSION or summary.rows < 1:
            self._damaged(f"version {summary.version} is not read here")
        return summary

    def _map(self, name: str, dtype: np.dtype[Any], width: int, rows: int) -> NDArray[Any]:
        path = self._path(name, rows * width * dtype.itemsize)
        return np.memmap(path, dtype=dtype, mode="r", shape=(rows, width))

    def _path(self, name: str, size: int) -> Path:
        path = self.folder / name
        if not path.is_file() or path.stat().st_size != size:
            self._damaged(f"{name} does not have {size} bytes")
        return path

    def _damaged(self, what: str) -> NoReturn:
        raise Internal(
            f"The stored rows of {self.folder.name} are damaged: {what}.",
            hint="Send the same data set again; it replaces the files.",
        )

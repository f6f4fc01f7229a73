"""Rows as a file that is made while it is sent: CSV, JSON lines or Parquet."""

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from app.http.media_types import CSV_MEDIA_TYPE, JSONL_MEDIA_TYPE, PARQUET_MEDIA_TYPE
from influence.contracts.common import Json
from influence.rows.values import FORMULA_STARTS, is_kept_from_running

SUFFIXES = {CSV_MEDIA_TYPE: "csv", JSONL_MEDIA_TYPE: "jsonl", PARQUET_MEDIA_TYPE: "parquet"}

_BATCH_ROWS = 4096
#: Rows at once where every one holds a file.
_FILE_ROWS = 32
_READ_BYTES = 1 << 18


def stream_rows(
    rows: Iterable[Json],
    media_type: str,
    types: Mapping[str, type] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Iterator[bytes]:
    """Rows of flat cells as pieces of a file. `types`, name to str, int, float or bool, are those of the first row
    where they are left out; CSV and Parquet have just these columns. `notes` go into the schema of Parquet, whose
    columns may also be of `bytes`, files of images: their cells are `{bytes, path}`."""
    following = iter(rows)
    if media_type == JSONL_MEDIA_TYPE:
        return _stream_jsonl(following)
    if types is None:
        first = next(following)
        types = {name: type(value) for name, value in first.items()}
        following = chain([first], following)
    if media_type == CSV_MEDIA_TYPE:
        return _stream_csv(following, types)
    return _stream_parquet(following, types, notes)


def neutralise(cell: Any) -> Any:
    """A text that a spreadsheet would run as a formula, with a quote before it; anything else as it is."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def expose(cell: Any) -> Any:
    """A cell of a file that was made here, without the quote that `neutralise` put before it."""
    return cell[1:] if is_kept_from_running(cell) else cell


def _stream_csv(rows: Iterator[Json], types: Mapping[str, type]) -> Iterator[bytes]:
    yield _csv_lines([list(types)])
    for batch in _batches(rows):
        yield _csv_lines([neutralise(row.get(name)) for name in types] for row in batch)


def _csv_lines(lines: Iterable[Sequence[Any]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(lines)
    return buffer.getvalue().encode("utf-8", "backslashreplace")


def _stream_jsonl(rows: Iterator[Json]) -> Iterator[bytes]:
    for batch in _batches(rows):
        yield "".join(json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n" for row in batch).encode()


def _stream_parquet(
    rows: Iterator[Json], types: Mapping[str, type], notes: Mapping[str, str] | None
) -> Iterator[bytes]:
    # Loading pyarrow takes a quarter of the time in which the API has to be up.
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    kinds[bytes] = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    most = _FILE_ROWS if bytes in types.values() else _BATCH_ROWS
    schema = pa.schema([(name, kinds[kind]) for name, kind in types.items()], metadata=notes)
    with tempfile.TemporaryFile(prefix="datainf-table-") as file:
        with pq.ParquetWriter(file, schema) as writer:
            for batch in _batches(rows, most):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
        file.seek(0)
        while piece := file.read(_READ_BYTES):
            yield piece


def _batches(rows: Iterator[Json], most: int = _BATCH_ROWS) -> Iterator[Sequence[Json]]:
    while batch := list(islice(rows, most)):
        yield batch

"""The whole table of an audit as a file: CSV, JSON lines or Parquet."""

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from app.audits.rows import describe_rows, find_columns
from app.http.media_types import CSV_MEDIA_TYPE, JSON_MEDIA_TYPE, JSONL_MEDIA_TYPE, PARQUET_MEDIA_TYPE, negotiate
from influence.contracts.audit import Audit
from influence.contracts.common import Json
from influence.contracts.dataset import ROW_FORMS
from influence.store.data.files import Files
from influence.store.store import Store

SUFFIXES = {CSV_MEDIA_TYPE: "csv", JSONL_MEDIA_TYPE: "jsonl", PARQUET_MEDIA_TYPE: "parquet"}
#: Other names under which JSON lines are asked for.
_JSONL_NAMES = ("application/x-ndjson", "application/x-jsonlines", JSON_MEDIA_TYPE)

#: Characters that make a spreadsheet take a cell for a formula when it begins with them.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_FIGURES = (
    "suspicion",
    "label",
    "predicted_label",
    "probability",
    "predicted_probability",
    "margin",
    "loss",
    "self_influence",
    "influence",
    "score",
    "direction",
)
_BATCH_ROWS = 4096
_READ_BYTES = 1 << 18


def choose_media_type(accept: str) -> str:
    """The form that an Accept header asks for; CSV where it takes any. Raises NotAcceptable."""
    chosen = negotiate(accept, (*SUFFIXES, *_JSONL_NAMES))
    return JSONL_MEDIA_TYPE if chosen in _JSONL_NAMES else chosen


def stream_table(store: Store, files: Files, audit: Audit, media_type: str) -> Iterator[bytes]:
    """The table in row order, most of it not yet made. Raises Conflict and NotFound before the first byte."""
    columns = find_columns(store, audit)
    rows = describe_rows(files, audit, columns, np.arange(len(columns["suspicion"])))
    first = next(rows)  # opens the row file: what is wrong with it is said before the answer begins
    cells = (flatten_row(audit, row) for row in chain([first], rows))
    if media_type == PARQUET_MEDIA_TYPE:
        return _stream_parquet(cells)
    return _stream_csv(cells) if media_type == CSV_MEDIA_TYPE else _stream_jsonl(cells)


def flatten_row(audit: Audit, row: Json) -> Json:
    """One row of the table: where it stands, figures that the audit has, its words; messages as JSON text."""
    words = row["row"]
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name in ROW_FORMS[audit.kind].words
        if (value := words.get(name)) is not None
    }
    figures = {name: row[name] for name in _FIGURES if name in row}
    return {"row_index": row["row_index"], "row_id": row["row_id"], **figures, **texts}


def neutralise(cell: Any) -> Any:
    """A text that a spreadsheet would run as a formula, with a quote before it; anything else as it is."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def _stream_csv(rows: Iterable[Json]) -> Iterator[bytes]:
    header: list[str] | None = None
    for batch in _batches(rows):
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        if header is None:
            header = list(batch[0])
            writer.writerow(header)
        writer.writerows([neutralise(row.get(name)) for name in header] for row in batch)
        yield buffer.getvalue().encode("utf-8", "backslashreplace")


def _stream_jsonl(rows: Iterable[Json]) -> Iterator[bytes]:
    for batch in _batches(rows):
        yield "".join(json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n" for row in batch).encode()


def _stream_parquet(rows: Iterator[Json]) -> Iterator[bytes]:
    # Loading pyarrow takes a quarter of the time in which the API has to be up.
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryFile(prefix="datainf-audit-") as file:
        first = next(rows)
        kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
        schema = pa.schema([(name, kinds[type(value)]) for name, value in first.items()])
        with pq.ParquetWriter(file, schema) as writer:
            for batch in _batches(chain([first], rows)):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
        file.seek(0)
        while piece := file.read(_READ_BYTES):
            yield piece


def _batches(rows: Iterable[Json]) -> Iterator[Sequence[Json]]:
    following = iter(rows)
    while batch := list(islice(following, _BATCH_ROWS)):
        yield batch

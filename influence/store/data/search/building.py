"""The table that rows are found in: an Arrow file beside the row file, made from it when first asked for.

It holds nothing that the row file does not: a file that is gone or damaged is made again.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from influence.contracts.dataset import Dataset, MetadataType
from influence.rows.file import RowFile
from influence.store.data.files import Files
from influence.store.data.search.columns import SearchColumns, as_cell, columns_of
from influence.store.data.search.words import words_of

#: Raised when the table changes its form: part of its name.
TABLE_VERSION = 1
WORDS = "words"
ROW_INDEX = "row_index"
_BATCH_ROWS = 16_384
_TYPES: dict[MetadataType, Any] = {
    "string": pa.string(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
    "json": pa.string(),
}


def open_table(files: Files, dataset: Dataset) -> tuple[SearchColumns, pa.Table]:
    """The columns of a data set and their table (rows, columns), mapped from disk; made where it is not there yet.

    Raises NotFound where the rows are gone.
    """
    folder = files.dataset(dataset.id)
    with RowFile(folder) as file:
        columns = columns_of(dataset, next(file.parse_all()))
        path = folder / f"search-{TABLE_VERSION}.arrow"
        table = _read(path, columns)
        if table is None or table.num_rows != len(file):
            _build(files, file, dataset, columns, path)
            table = _read(path, columns)
    assert table is not None
    return columns, table


def _schema(columns: SearchColumns) -> pa.Schema:
    fields = [pa.field(column.field, _TYPES[column.type]) for column in columns.all()]
    # The names that people gave, so that a table of other columns is told apart.
    names = {b"columns": json.dumps([column.name for column in columns.all()]).encode()}
    return pa.schema([pa.field(ROW_INDEX, pa.int32()), *fields, pa.field(WORDS, pa.string())], metadata=names)


def _read(path: Path, columns: SearchColumns) -> pa.Table | None:
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    return table if table.schema.equals(_schema(columns), check_metadata=True) else None


def _build(files: Files, file: RowFile, dataset: Dataset, columns: SearchColumns, path: Path) -> None:
    schema = _schema(columns)
    with files.scratch() as scratch:
        made = scratch / path.name
        with pa.OSFile(str(made), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in _batches(file, dataset, columns, schema):
                writer.write_batch(batch)
        os.replace(made, path)


def _batches(file: RowFile, dataset: Dataset, columns: SearchColumns, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rows, start = file.parse_all(), 0
    while block := list(islice(rows, _BATCH_ROWS)):
        yield pa.RecordBatch.from_arrays(
            [pa.array(range(start, start + len(block)), pa.int32()), *_arrays(block, dataset, columns)], schema=schema
        )
        start += len(block)


def _arrays(block: Sequence[Mapping[str, Any]], dataset: Dataset, columns: SearchColumns) -> Iterator[pa.Array]:
    for column in columns.all():
        yield pa.array([as_cell(column.read(row), column.type) for row in block], _TYPES[column.type])
    yield pa.array([words_of(row, dataset.kind) for row in block], pa.string())

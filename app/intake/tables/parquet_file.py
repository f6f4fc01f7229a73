"""Parquet files, read by record batches and only in the columns that are needed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from app.intake.tables.expansion import (
    check_schema,
    class_names,
    expand,
    holds_images,
    refusing,
    value_kinds,
)
from app.intake.tables.limits import FREE_ROW_GROUPS, ROWS_PER_GROUP, Source, TableLimits, refuse_size

_BATCH_ROWS, _IMAGE_BATCH_ROWS = 1024, 16
_METADATA_BYTES = 64 << 20


class ParquetTable:
    """One Parquet file. Text is read dictionary-encoded, so that a repeated value is not multiplied on the way in."""

    def __init__(self, path: Path, limits: TableLimits) -> None:
        self._path = path
        with refusing("Parquet file"), self._open() as file:
            metadata, schema = file.metadata, file.schema_arrow
            has_images = holds_images(schema)
            self._limits = limits.with_images() if has_images else limits
            self.columns = [str(name) for name in schema.names]
            self.types = value_kinds(schema)
            self.class_names = class_names(schema)
            self._texts = _text_leaves(file)
            rows = metadata.num_rows
            if metadata.num_row_groups > FREE_ROW_GROUPS + rows // ROWS_PER_GROUP:
                refuse_size(f"{metadata.num_row_groups} row groups for {rows} rows", limits)
            groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
            stated = sum(
                group.column(place).total_uncompressed_size for group in groups for place in range(group.num_columns)
            )
        self._batch_rows = _IMAGE_BATCH_ROWS if has_images else _BATCH_ROWS
        check_schema(self.columns, limits)
        if rows > limits.max_rows:
            refuse_size(f"{rows} rows", limits)
        if stated > limits.max_bytes:
            refuse_size(f"{stated} bytes when expanded", limits)

    def _open(self, texts: Sequence[str] = ()) -> pq.ParquetFile:
        return pq.ParquetFile(
            self._path,
            read_dictionary=list(texts),
            memory_map=False,
            pre_buffer=False,
            buffer_size=1 << 20,
            thrift_string_size_limit=_METADATA_BYTES,
            thrift_container_size_limit=1 << 20,
        )

    def rows(self, columns: Sequence[str]) -> Iterator[Source]:
        """Rows with just these columns."""
        texts = [leaf for leaf in self._texts if leaf.split(".")[0] in columns]
        with refusing("Parquet file"), self._open(texts) as file:
            yield from expand(self._batches(file, list(columns)), self._limits)

    def _batches(self, file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
        # One row group at a time: a batch over two of them has two dictionaries, which pyarrow cannot nest.
        for group in range(file.num_row_groups):
            yield from file.iter_batches(self._batch_rows, row_groups=[group], columns=columns, use_threads=False)


def _text_leaves(file: pq.ParquetFile) -> list[str]:
    leaves = (file.schema.column(place) for place in range(len(file.schema.names)))
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]

"""Any table that people bring -> its columns and a stream of its rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from app.intake.tables.arrow_folder import ArrowFolder
from app.intake.tables.csv_file import read_csv
from app.intake.tables.json_file import read_json_array, read_jsonl
from app.intake.tables.limits import Source, TableLimits, count_rows, refuse_size
from app.intake.tables.parquet_file import ParquetTable
from influence.errors import EmptyFile, NotFound, UnreadableFile, UnsupportedFormat

#: Rows of a JSON file whose fields are taken to be its columns.
_PEEKED_ROWS = 32
_OPENING_BYTES = 4096
_CSV_NAMES = (".csv", ".tsv")
_JSON_NAMES = (".jsonl", ".ndjson", ".json")
_FOREIGN = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip archive or spreadsheet",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"ARROW1": "an Arrow file; send Parquet, or name the folder that save_to_disk wrote",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}


@dataclass(frozen=True)
class Table:
    """An opened table. `rows(columns)` streams it from the start each time; other columns may be left out.

    `typed` is False where every value is a string. `class_names` holds what the file says about its classes.
    """

    format: str
    columns: list[str]
    rows: Callable[[Sequence[str]], Iterator[Source]]
    typed: bool = True
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def open_table(path: Path, *, filename: str | None = None, limits: TableLimits, split: str | None = None) -> Table:
    """Open a file (JSONL, JSON array, CSV, Parquet; known by its content, then by `filename`) or an Arrow folder.

    Raises NotFound, EmptyFile, TooLarge, UnsupportedFormat, UnreadableFile, BrokenRow; the rows raise the same later.
    """
    if path.is_dir():
        folder = ArrowFolder(path, limits, split)
        return _counted(Table("arrow", folder.columns, folder.rows, class_names=folder.class_names), limits)
    if not path.is_file():
        raise NotFound(f"There is no file {path.name[:200]!r}.", hint="Check the path.")
    if (size := path.stat().st_size) > limits.max_bytes:
        refuse_size(f"{size} bytes", limits)
    return _counted(_OPENERS[_format(path, filename or path.name)](path, limits), limits)


def join_tables(tables: Sequence[Table]) -> Table:
    """Several files of one data set as one table, in the order given; the first one's columns speak for all."""
    first = tables[0]
    for table in tables[1:]:
        if set(table.columns) != set(first.columns) or table.typed != first.typed:
            raise UnreadableFile(
                "The files of this data set do not have the same columns.",
                hint="Name one file by path, or another split.",
            )
    return Table(
        first.format,
        first.columns,
        lambda columns: chain.from_iterable(table.rows(columns) for table in tables),
        first.typed,
        first.class_names,
    )


def _counted(table: Table, limits: TableLimits) -> Table:
    return Table(
        table.format,
        table.columns,
        lambda columns: count_rows(table.rows(columns), limits),
        table.typed,
        table.class_names,
    )


def _format(path: Path, filename: str) -> str:
    """The format by the first bytes, then by the name's ending."""
    with path.open("rb") as file:
        opening = file.read(_OPENING_BYTES)
    ending = Path(filename.lower()).suffix
    text = opening.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text and path.stat().st_size <= _OPENING_BYTES:
        raise EmptyFile("The file is empty.", hint="Send a file with at least one row.")
    for magic, called in _FOREIGN.items():
        if opening.startswith(magic):
            raise UnsupportedFormat(f"The file is {called}.", hint="Send plain JSONL, a JSON array, CSV or Parquet.")
    if opening.startswith(b"PAR1"):
        return "parquet"
    if ending == ".parquet":
        raise UnreadableFile(
            "The file is named .parquet but is none.", hint="Check that the upload is whole and the name right."
        )
    if ending in _CSV_NAMES:
        return "csv"
    if text[:1] == b"[":
        return "json"
    if text[:1] == b"{" or ending in _JSON_NAMES:
        return "jsonl"
    raise UnsupportedFormat(
        f"The file {Path(filename).name[:100]!r} is of no known format.",
        hint="Send JSONL (.jsonl), a JSON array (.json), CSV with a header (.csv) or Parquet (.parquet).",
    )


def _open_jsonl(path: Path, limits: TableLimits) -> Table:
    return Table("jsonl", _fields(read_jsonl(path, limits), limits), lambda _: read_jsonl(path, limits))


def _open_json(path: Path, limits: TableLimits) -> Table:
    return Table("json", _fields(read_json_array(path, limits), limits), lambda _: read_json_array(path, limits))


def _open_csv(path: Path, limits: TableLimits) -> Table:
    header, _ = read_csv(path, limits)
    return Table("csv", header, lambda _: read_csv(path, limits)[1], typed=False)


def _open_parquet(path: Path, limits: TableLimits) -> Table:
    table = ParquetTable(path, limits)
    return Table("parquet", table.columns, table.rows, class_names=table.class_names)


def _fields(rows: Iterator[Source], limits: TableLimits) -> list[str]:
    peeked = islice(count_rows(rows, limits), _PEEKED_ROWS)
    return list(dict.fromkeys(name for row in peeked for name in row))


_OPENERS: dict[str, Callable[[Path, TableLimits], Table]] = {
    "jsonl": _open_jsonl,
    "json": _open_json,
    "csv": _open_csv,
    "parquet": _open_parquet,
}

"""Any table that people bring -> its columns and a stream of its rows."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path, PurePath

from app.intake.tables.arrow_folder import ArrowFolder
from app.intake.tables.csv_file import open_csv
from app.intake.tables.exports import read_export
from app.intake.tables.images.archive import is_archive, open_image_archive
from app.intake.tables.json_file import open_json_array, open_jsonl, read_lone_object
from app.intake.tables.json_shapes import name_wrapper, refuse_columns_of_rows
from app.intake.tables.limits import TableLimits, count_rows, refuse_size
from app.intake.tables.parquet_file import ParquetTable
from app.intake.tables.table import Table, scan_rows
from app.intake.tables.text_source import TextSource, find_source
from influence.contracts.dataset import DatasetFormat, MetadataType, RowProblem
from influence.errors import ColumnsUnmatched, EmptyFile, InvalidRequest, NotFound, UnreadableFile, UnsupportedFormat
from influence.rows.values import ValueKind

_CSV_NAMES = (".csv", ".tsv")
_JSON_NAMES = (".jsonl", ".ndjson", ".json")
_COMPRESSED_NAMES = (".gz", ".zst", ".zstd")
_FOREIGN = {
    b"PK\x03\x04": "a spreadsheet, or a zip archive whose name does not end in .zip",
    b"\x1f\x8b": "compressed twice",
    b"BZh": "bzip2; gzip and zstd are read",
    b"\xfd7zXZ": "xz; gzip and zstd are read",
    b"\x28\xb5\x2f\xfd": "compressed twice",
    b"ARROW1": "an Arrow file; send Parquet, or name the folder that save_to_disk wrote",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x89PNG": "one image; images are sent as a zip of them",
    b"\xff\xd8\xff": "one image; images are sent as a zip of them",
}
_TAR, _TAR_PLACE = b"ustar", 257


def open_table(path: Path, *, filename: str | None = None, limits: TableLimits, split: str | None = None) -> Table:
    """Open a file (JSONL, JSON array, CSV, Parquet, a zip of images; known by its content, then by `filename`) or an
    Arrow folder.

    Text files may be compressed with gzip or zstd. Exports of annotation tools are read as the rows that they hold.
    Raises NotFound, EmptyFile, TooLarge, UnsupportedFormat, UnreadableFile, BrokenRow; the rows raise the same later.
    """
    if path.is_dir():
        return _counted(_open_arrow(path, limits, split), limits)
    if not path.is_file():
        raise NotFound(f"There is no file {path.name[:200]!r}.", hint="Check the path.")
    if (size := path.stat().st_size) > limits.max_bytes:
        refuse_size(f"{size} bytes", limits)
    name = PurePath((filename or path.name).lower())
    if name.suffix == ".zip" and is_archive(path):
        return _counted(open_image_archive(path, limits, split), limits)
    if split is not None and split.lower() not in name.stem:
        raise InvalidRequest(
            f"{name.name[:120]!r} is one file, which holds no splits; the request asks for {split[:80]!r}.",
            hint="Send the file of that split, and leave 'split' out.",
            extra={"field": "split"},
        )
    return read_export(_counted(_open_file(path, name, limits), limits), limits)


def join_tables(tables: Sequence[Table]) -> Table:
    """Several files of one data set as one table, in the order given.

    Files of JSON have the columns of all of them; others have to have the same. Raises UnreadableFile.
    """
    first = tables[0]
    columns = list(dict.fromkeys(column for table in tables for column in table.columns))
    is_json = all(table.format.name in ("json", "jsonl") for table in tables)
    same = all(set(table.columns) == set(columns) for table in tables)
    if len({(table.text_types is None, table.format.export) for table in tables}) > 1 or not (is_json or same):
        raise UnreadableFile(
            "The files of this data set do not have the same columns.",
            hint="Name one file by path, or another split.",
        )
    if any(table.class_names != first.class_names for table in tables):
        raise UnreadableFile(
            "The files of this data set name their classes in different ways.", hint="Name one file by path."
        )
    return replace(
        first,
        columns=columns,
        rows=lambda wanted: chain.from_iterable(table.rows(wanted) for table in tables),
        types={column: _all_kinds(tables, column) for column in columns},
        text_types=None if first.text_types is None else _common_types(tables),
        problems=_common_problems(tables),
        only_row=first.only_row if len(tables) == 1 else None,
    )


def _all_kinds(tables: Sequence[Table], column: str) -> frozenset[ValueKind]:
    return frozenset(kind for table in tables for kind in table.types.get(column, ()))


def _counted(table: Table, limits: TableLimits) -> Table:
    return replace(table, rows=lambda columns: count_rows(table.rows(columns), limits))


def _common_types(tables: Sequence[Table]) -> dict[str, MetadataType]:
    """What texts are in all files; a column that differs between them holds strings."""
    found = [table.text_types or {} for table in tables]
    return {column: kind for column, kind in found[0].items() if all(types.get(column) == kind for types in found)}


def _common_problems(tables: Sequence[Table]) -> tuple[RowProblem, ...]:
    """Problems of all files; rows that count within one of several files are not named."""
    problems = tuple(problem for table in tables for problem in table.problems)
    return problems if len(tables) == 1 else tuple(problem.model_copy(update={"rows": ()}) for problem in problems)


def _open_arrow(path: Path, limits: TableLimits, split: str | None) -> Table:
    folder = ArrowFolder(path, limits, split)
    table = Table(
        DatasetFormat(name="arrow"),
        folder.columns,
        folder.rows,
        types=folder.types,
        filled=True,
        class_names=folder.class_names,
    )
    return _looked_into(table, limits)


def _open_parquet(path: Path, limits: TableLimits) -> Table:
    file = ParquetTable(path, limits)
    table = Table(
        DatasetFormat(name="parquet"),
        file.columns,
        file.rows,
        types=file.types,
        filled=True,
        class_names=file.class_names,
    )
    return _looked_into(table, limits)


def _looked_into(table: Table, limits: TableLimits) -> Table:
    """The table with what columns of JSON do hold, of which the schema says no more than that it is JSON."""
    unsure = [column for column, kinds in table.types.items() if len(kinds) > 1]
    if not unsure:
        return table
    scan = scan_rows(count_rows(table.rows(unsure), limits), limits)
    return replace(table, types={**table.types, **scan.types})


def _open_file(path: Path, name: PurePath, limits: TableLimits) -> Table:
    """The format by the first bytes, then by the name's ending."""
    source = find_source(path, limits)
    if source.compression is not None and name.suffix in _COMPRESSED_NAMES:
        name = name.with_suffix("")
    opening = source.opening()
    text = opening.lstrip()
    if not text and source.is_blank():
        raise EmptyFile("The file is empty.", hint="Send a file with at least one row.")
    _refuse_foreign(opening, source)
    if opening.startswith(b"PAR1"):
        return _open_parquet(path, limits)
    if name.suffix == ".parquet":
        raise UnreadableFile(
            "The file is named .parquet but is none.", hint="Check that the upload is whole and the name right."
        )
    _refuse_two_bytes(opening)
    if name.suffix in _CSV_NAMES:
        _refuse_json_named_csv(text, name)
        return open_csv(source, named_tsv=name.suffix == ".tsv")
    if text[:1] == b"[":
        return open_json_array(source)
    if text[:1] == b"{" or name.suffix in _JSON_NAMES:
        _refuse_spread_object(source)
        return open_jsonl(source)
    raise UnsupportedFormat(
        f"The file {name.name[:100]!r} is of no known format.",
        hint="Send JSONL (.jsonl), a JSON array (.json), CSV with a header (.csv), TSV (.tsv) or Parquet (.parquet).",
    )


def _refuse_foreign(opening: bytes, source: TextSource) -> None:
    for magic, called in _FOREIGN.items():
        if opening.startswith(magic):
            raise UnsupportedFormat(
                f"The file is {called}.", hint="Send plain JSONL, a JSON array, CSV, Parquet, or a zip of images."
            )
    if opening[_TAR_PLACE:].startswith(_TAR):
        raise UnsupportedFormat(
            "The file is a tar archive.",
            hint="Send images as a zip of the same files: in it 1.txt is the caption of 1.jpg, too; what 1.cls or "
            "1.json says goes into one metadata.jsonl, with 'file_name'. Send tables as JSONL, CSV or Parquet.",
        )
    if opening.startswith(b"PAR1") and source.compression is not None:
        raise UnsupportedFormat("The file is compressed Parquet.", hint="Send the Parquet file itself.")


def _refuse_two_bytes(opening: bytes) -> None:
    """Raise UnreadableFile for text of two bytes per character that does not say so."""
    halves = opening[::2], opening[1::2]
    if any(half and half.count(0) > len(half) // 2 for half in halves):
        raise UnreadableFile(
            "The file looks like UTF-16 without a byte order mark.",
            hint="Save it as UTF-8, or as UTF-16 with its byte order mark.",
        )


def _refuse_json_named_csv(text: bytes, name: PurePath) -> None:
    """Raise UnreadableFile for JSON under the name of a CSV file."""
    first = text.split(b"\n", 1)[0].strip()
    if first.startswith((b"[", b"{")) and _begins_json(first):
        kind = "a JSON array" if first.startswith(b"[") else "JSON lines"
        ending = ".json" if first.startswith(b"[") else ".jsonl"
        raise UnreadableFile(
            f"The file {name.name[:100]!r} is named as CSV and holds {kind}.",
            hint=f"Send it under a name ending in {ending}.",
        )


def _begins_json(first: bytes) -> bool:
    """Whether a first line is JSON, or begins an array or object that spans lines."""
    if first in (b"[", b"{") or first.startswith((b"[{", b'["')):
        return True
    try:
        return isinstance(json.loads(first), dict | list)
    except (ValueError, RecursionError):
        return first.startswith(b'{"') and b'":' in first


def _refuse_spread_object(source: TextSource) -> None:
    """Raise UnreadableFile where one object is spread over lines: it holds columns, or rows under one of its fields."""
    if source.opening().split(b"\n", 1)[0].rstrip().endswith(b"}") or (found := read_lone_object(source)) is None:
        return
    refuse_columns_of_rows(found)
    error = ColumnsUnmatched(
        "The file is one JSON object over several lines.",
        hint="Write one object per line (JSONL), or one JSON array of objects.",
    )
    raise name_wrapper(found, error)

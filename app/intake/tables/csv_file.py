"""CSV and TSV with a header line, read record by record."""

import codecs
import csv
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from app.intake.tables.limits import Source, TableLimits, check_columns, refuse_line, refuse_size
from influence.errors import EmptyFile, UnreadableFile

_DELIMITERS = ",;\t|"
_UTF8_HINT = "Save the file as CSV in UTF-8."
_HEADER_HINT = "The first line names the columns, each once: for example 'text,label'."


def read_csv(path: Path, limits: TableLimits) -> tuple[list[str], Iterator[Source]]:
    """Column names, and records as strings by column; blank lines are passed over.

    The delimiter is whichever of comma, semicolon, tab and bar the header has most of outside quotes.
    Raises EmptyFile, UnreadableFile (encoding, header), BrokenRow with `extra["line"]`, TooLarge.
    """
    header = read_header(path, limits)
    return header, _records(path, header, limits)


def read_header(path: Path, limits: TableLimits) -> list[str]:
    """The columns. An unnamed one, which is what data frames write for their index, becomes `unnamed_<place>`."""
    with closing(_parsed(path, limits)) as records:
        _, cells = next(records, (0, []))
    if not cells:
        raise EmptyFile("The CSV file is empty.", hint=_HEADER_HINT)
    names = [cell.strip() or f"unnamed_{place}" for place, cell in enumerate(cells)]
    check_columns(names, limits, "header")
    if len(set(names)) != len(names):
        repeated = next(name for place, name in enumerate(names) if name in names[:place])
        raise UnreadableFile(f"The header names {repeated[:80]!r} more than once.", hint=_HEADER_HINT)
    return names


def _records(path: Path, header: list[str], limits: TableLimits) -> Iterator[Source]:
    records = _parsed(path, limits)
    next(records)
    for line, cells in records:
        if len(cells) != len(header):
            refuse_line(
                line,
                f"it has {len(cells)} fields where the header names {len(header)}",
                "Put fields that hold the delimiter, a quote or a line break in double quotes.",
            )
        yield dict(zip(header, cells, strict=True))


def _parsed(path: Path, limits: TableLimits) -> Generator[tuple[int, list[str]], None, None]:
    """(line number, cells) of each record that is not blank."""
    # The module's own limit of 128 KiB a field is one for the whole process; rows are limited here by their bytes.
    csv.field_size_limit(max(csv.field_size_limit(), limits.max_row_bytes))
    with path.open("rb") as file:
        delimiter = _delimiter(next(_Lines(file, limits), ""))
        file.seek(0)
        lines = _Lines(file, limits)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                lines.start_record()
                if cells:
                    yield reader.line_num, cells
        except csv.Error as error:
            hint = "Close every quote, and double the quotes inside quoted fields."
            refuse_line(reader.line_num, f"it is not valid CSV ({error})", hint)


def _delimiter(header: str) -> str:
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


class _Lines:
    """Decoded lines of a file, each record held to the row limit however many lines it spans."""

    def __init__(self, file: BinaryIO, limits: TableLimits) -> None:
        self._file = file
        self._limits = limits
        self._number = 0
        self._record_bytes = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._limits.max_row_bytes + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._record_bytes += len(line)
        if self._record_bytes > self._limits.max_row_bytes:
            refuse_size(
                f"a row of more than {self._limits.max_row_bytes} bytes that ends in line {self._number} or later",
                self._limits,
            )
        return self._decode(line)

    def _decode(self, line: bytes) -> str:
        if self._number == 1:
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise UnreadableFile("The file is UTF-16, not UTF-8.", hint=_UTF8_HINT)
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"Line {self._number} is not UTF-8 (byte {error.start}).", hint=_UTF8_HINT, extra={"line": self._number}
            ) from error

    def start_record(self) -> None:
        """A record has ended: count the next one from nothing."""
        self._record_bytes = 0

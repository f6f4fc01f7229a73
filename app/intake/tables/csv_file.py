"""CSV and TSV with a header line, read record by record."""

import csv
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from app.intake.tables.csv_dialect import Dialect, find_dialect, fits_plainly
from app.intake.tables.csv_lines import Lines
from app.intake.tables.limits import check_columns, refuse_line
from app.intake.tables.table import Table, Types
from app.intake.tables.text_source import TextSource
from influence.contracts.dataset import DatasetFormat, MetadataType, RowProblem
from influence.errors import EmptyFile, UnreadableFile
from influence.rows.findings import NAMED_ROWS
from influence.rows.metadata import TextTypes
from influence.rows.values import ValueKind

_HEADER_HINT = "The first line names the columns, each once: for example 'text,label'."
_KINDS: dict[MetadataType, ValueKind] = {"number": "number", "boolean": "truth", "time": "time"}


def open_csv(source: TextSource, *, named_tsv: bool) -> Table:
    """A table of strings; blank lines are passed over.

    Raises EmptyFile, UnreadableFile (encoding, header, quotes of two readings), BrokenRow with `extra["line"]`,
    TooLarge.
    """
    # The module's own limit of 128 KiB a field is one for the whole process; rows are limited here by their bytes.
    csv.field_size_limit(max(csv.field_size_limit(), source.limits.max_row_bytes))
    dialect = find_dialect(source, named_tsv=named_tsv)
    header = _read_header(source, dialect)
    text_types, joined = TextTypes(), _JoinedLines(dialect.delimiter)
    for record in _records(source, dialect, header):
        text_types.add(record.row)
        joined.add(record)
    if joined.suspicious and fits_plainly(source, dialect.delimiter):
        joined.refuse()
    found = text_types.found()
    return Table(
        DatasetFormat(
            name="csv",
            compression=source.compression,
            encoding=source.encoding,
            delimiter=dialect.delimiter,
            quoting=dialect.quoting,
        ),
        header,
        lambda _: (record.row for record in _records(source, dialect, header)),
        types=_kinds(header, found),
        text_types=found,
        problems=joined.problems(),
    )


def _kinds(header: list[str], found: dict[str, MetadataType]) -> Types:
    kinds: dict[str, ValueKind] = {name: _KINDS.get(found.get(name, "string"), "text") for name in header}
    return {name: frozenset({kind}) for name, kind in kinds.items()}


@dataclass(frozen=True, slots=True)
class _Record:
    """A record and the lines of the file that it takes."""

    row: dict[str, str]
    line: int
    lines: int


def _read_header(source: TextSource, dialect: Dialect) -> list[str]:
    """The columns. An unnamed one, which is what data frames write for their index, becomes `unnamed_<place>`."""
    with closing(_parsed(source, dialect)) as records:
        _, _, cells = next(records, (0, 0, []))
    if not cells:
        raise EmptyFile("The CSV file is empty.", hint=_HEADER_HINT)
    if any("\0" in cell for cell in cells):
        raise UnreadableFile(
            "The header holds NUL characters.", hint="Save the file as UTF-8; UTF-16 needs a byte order mark."
        )
    if cells[0].strip().lower().startswith("sep=") and not any(cell.strip() for cell in cells[1:]):
        raise UnreadableFile(
            "The first line, 'sep=', tells Excel the delimiter: the header is not the first line.",
            hint="Remove the line; the delimiter is found without it.",
        )
    names = [cell.strip() or f"unnamed_{place}" for place, cell in enumerate(cells)]
    check_columns(names, source.limits, "header")
    if len(set(names)) != len(names):
        repeated = next(name for place, name in enumerate(names) if name in names[:place])
        raise UnreadableFile(f"The header names {repeated[:80]!r} more than once.", hint=_HEADER_HINT)
    return names


def _records(source: TextSource, dialect: Dialect, header: list[str]) -> Iterator[_Record]:
    records = _parsed(source, dialect)
    next(records)
    for line, lines, cells in records:
        if len(cells) != len(header):
            refuse_line(
                line,
                f"it has {len(cells)} fields where the header names {len(header)}",
                "Put fields that hold the delimiter, a quote or a line break in double quotes."
                if dialect.delimiter != "\t"
                else "Fields of a tab-separated file hold no tabs and no line breaks, or all of these are quoted.",
            )
        yield _Record(dict(zip(header, cells, strict=True)), line, lines)


def _parsed(source: TextSource, dialect: Dialect) -> Generator[tuple[int, int, list[str]], None, None]:
    """(number of the last line, lines, cells) of each record that is not blank."""
    with source.open() as file:
        lines = Lines(file, source.limits)
        reader = dialect.reader(lines)
        before = 0
        try:
            for cells in reader:
                lines.start_record()
                if cells:
                    yield reader.line_num, reader.line_num - before, cells
                before = reader.line_num
        except csv.Error as error:
            hint = "Close every quote, double the quotes inside quoted fields, and end lines with line feeds."
            refuse_line(reader.line_num, f"it is not valid CSV ({error})", hint)


class _JoinedLines:
    """Records that take several lines, and among them those where a field holds the delimiter, too: what stray quotes
    make of rows."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._row = 0
        self._lines = 0
        self._rows: list[int] = []
        self._count = 0
        self._first_line = 0
        self.suspicious = 0

    def add(self, record: _Record) -> None:
        """Take up one record."""
        self._lines += record.lines
        if record.lines > 1:
            self._count += 1
            if len(self._rows) < NAMED_ROWS:
                self._rows.append(self._row)
            if any("\n" in cell and self._delimiter in cell for cell in record.row.values()):
                self.suspicious += 1
                self._first_line = self._first_line or record.line
        self._row += 1

    def refuse(self) -> None:
        """Raise UnreadableFile: quotes as frames and quotes as characters give different rows, and both fit."""
        raise UnreadableFile(
            f"A quoted field spans lines and holds the delimiter (it ends in line {self._first_line}); without quoting "
            f"every line is a row: {self._lines} rows instead of {self._row}.",
            hint="Double every quote that is just a character and put such fields in quotes, or send JSON lines.",
            extra={"line": self._first_line},
        )

    def problems(self) -> tuple[RowProblem, ...]:
        """The one problem that there may be."""
        if not self._count:
            return ()
        message = f"{self._row} rows come from {self._lines} lines: quoted fields span lines in {self._count} of them"
        message += f", and hold the delimiter there in {self.suspicious}." if self.suspicious else "."
        return (RowProblem(code="lines_joined", count=self._count, rows=tuple(self._rows), message=message),)

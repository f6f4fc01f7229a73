"""How a CSV or TSV file is written: its delimiter, and whether double quotes frame fields or are plain characters.

With comma, semicolon or bar, quotes frame fields, as in RFC 4180. In tab-separated files they are plain characters
unless they are used consistently: round every text, or round just the fields that hold a quote (doubled), a tab or a
line break. Many published files are written without any quoting, and reading them as CSV melts rows together.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.intake.tables.csv_lines import Lines, each_line
from app.intake.tables.text_source import TextSource
from influence.contracts.dataset import Quoting
from influence.errors import TooLarge

if TYPE_CHECKING:
    from _csv import Reader

_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"[-+]?[0-9.,]*(?:[eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Dialect:
    """A delimiter, and whether quotes frame fields (`double`) or are characters (`none`)."""

    delimiter: str
    quoting: Quoting

    def reader(self, lines: Iterator[str]) -> "Reader":
        """Python's own reader for it; strict, so that broken quoting is an error."""
        if self.quoting == "none":
            return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE, strict=True)
        return csv.reader(lines, delimiter=self.delimiter, strict=True)


def find_dialect(source: TextSource, *, named_tsv: bool) -> Dialect:
    """The dialect of a file. The delimiter is whichever the header has most of outside quotes; a tab under .tsv."""
    with source.open() as file:
        header = next((line for line in each_line(file, source.limits) if line.strip()), "")
    outside = "".join(header.split('"')[::2])
    delimiter = max(_DELIMITERS, key=outside.count)
    if named_tsv and ("\t" in header or not outside.count(delimiter)):
        delimiter = "\t"
    if delimiter != "\t":
        return Dialect(delimiter, "double")
    return Dialect("\t", "double" if _frames_fields(source) else "none")


def fits_plainly(source: TextSource, delimiter: str) -> bool:
    """Whether every line has as many fields as the header when quotes are plain characters."""
    with source.open() as file:
        counts = (line.count(delimiter) for line in each_line(file, source.limits) if line.strip())
        first = next(counts, 0)
        return all(count == first for count in counts)


@dataclass(slots=True)
class _Cells:
    """Fields of a tab-separated file, cut at every tab: those with a quote that frames nothing, those framed for a
    reason that shows, framed without one, and texts that are not framed."""

    stray: int = 0
    needed: int = 0
    needless: int = 0
    bare: int = 0

    def add(self, cell: str) -> None:
        if _QUOTED.fullmatch(cell):
            self.needed += '""' in cell[1:-1]
            self.needless += '""' not in cell[1:-1]
        elif '"' in cell:
            self.stray += 1
        elif cell and not _NUMBER.fullmatch(cell):
            self.bare += 1


def _frames_fields(source: TextSource) -> bool:
    if not fits_plainly(source, "\t"):
        return _fits_quoted(source)
    cells = _Cells()
    with source.open() as file:
        lines = each_line(file, source.limits)
        next(lines, None)
        for line in lines:
            for cell in line.rstrip("\r\n").split("\t"):
                cells.add(cell)
    if cells.stray:
        return False
    return bool(cells.needed or cells.needless) and (not cells.needless or not cells.bare)


def _fits_quoted(source: TextSource) -> bool:
    """Whether every record has as many fields as the header when quotes frame fields."""
    with source.open() as file:
        lines = Lines(file, source.limits)
        width = None
        try:
            for cells in Dialect("\t", "double").reader(lines):
                lines.start_record()
                width = width or len(cells)
                if cells and len(cells) != width:
                    return False
        except (csv.Error, TooLarge):
            return False
    return True

"""Decoded lines of a CSV file, each record held to the row limit however many lines it spans."""

from collections.abc import Iterator
from typing import BinaryIO

from app.intake.tables.limits import BlankLines, TableLimits, refuse_size
from influence.errors import UnreadableFile

_UTF8_HINT = "Save the file as CSV in UTF-8."


class Lines:
    """An iterator of lines with their ends. Raises TooLarge and UnreadableFile with `extra["line"]`."""

    def __init__(self, file: BinaryIO, limits: TableLimits) -> None:
        self._file = file
        self._limits = limits
        self._number = 0
        self._blank = BlankLines(limits)
        self._record_bytes = 0

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._limits.max_row_bytes + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._blank.count(line)
        self._record_bytes += len(line)
        if self._record_bytes > self._limits.max_row_bytes:
            refuse_size(
                f"a row of more than {self._limits.max_row_bytes} bytes that ends in line {self._number} or later",
                self._limits,
            )
        return self._decode(line)

    def start_record(self) -> None:
        """A record has ended: count the next one from nothing."""
        self._record_bytes = 0

    def _decode(self, line: bytes) -> str:
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"Line {self._number} is not UTF-8 (byte {error.start}).", hint=_UTF8_HINT, extra={"line": self._number}
            ) from error


def each_line(file: BinaryIO, limits: TableLimits) -> Iterator[str]:
    """Lines that are records of their own."""
    lines = Lines(file, limits)
    for line in lines:
        lines.start_record()
        yield line

"""JSON Lines and JSON arrays, read row by row."""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from app.intake.tables.json_shapes import refuse_columns_of_rows
from app.intake.tables.limits import (
    BlankLines,
    Source,
    TableLimits,
    check_columns,
    count_rows,
    refuse_line,
    refuse_size,
)
from app.intake.tables.table import Table, scan_rows
from app.intake.tables.text_source import TextSource
from influence.contracts.dataset import DatasetFormat, FormatName

_HINT = "Write one JSON object per line (JSONL), or one JSON array of objects."
_LIST_HINT = "Write each row as an object that names its fields, such as with orient='records' of a data frame."
_CSV_HINT = "If the file is CSV, send it under a name ending in .csv. JSON lines hold one object per line."
_PIECE_BYTES = 1 << 18
_SPACE = re.compile(r"[ \t\r\n]*")
_TWICE, _CONSTANT = "an object names a field twice", "is no JSON"
_FAULT_HINTS = {
    _TWICE: "Keep one of the two: readers disagree about which one counts.",
    _CONSTANT: "Write null where there is no number: Python's json.dump(..., allow_nan=False) finds the others.",
}


def open_jsonl(source: TextSource) -> Table:
    """One object per line. Raises UnreadableFile where a lone object holds columns, and as `read_jsonl` does."""
    return _table("jsonl", source, read_jsonl)


def open_json_array(source: TextSource) -> Table:
    """One array of objects."""
    return _table("json", source, read_json_array)


def _table(name: FormatName, source: TextSource, read: Callable[[TextSource], Iterator[Source]]) -> Table:
    scan = scan_rows(count_rows(read(source), source.limits), source.limits)
    if scan.only_row is not None and name == "jsonl":
        refuse_columns_of_rows(scan.only_row)
    return Table(
        DatasetFormat(name=name, compression=source.compression, encoding=source.encoding),
        scan.columns,
        lambda _: read(source),
        types=scan.types,
        only_row=scan.only_row,
    )


def read_jsonl(source: TextSource) -> Iterator[Source]:
    """Objects of a JSON Lines file; blank lines are passed over. Raises BrokenRow with `extra["line"]`, TooLarge."""
    limits = source.limits
    with source.open() as file:
        number, blank = 0, BlankLines(limits)
        while line := file.readline(limits.max_row_bytes + 2):
            number += 1
            if len(line) > limits.max_row_bytes + 1:
                refuse_size(f"a row of more than {limits.max_row_bytes} bytes in line {number}", limits)
            if not blank.count(line):
                yield _parse_line(line, number, limits)


def read_json_array(source: TextSource) -> Iterator[Source]:
    """Objects of one JSON array, holding no more than a few rows in memory. Raises as `read_jsonl` does."""
    with source.open() as file:
        text = _Text(file, source.limits)
        text.skip_space()
        text.expect("[")
        if text.peek() != "]":
            yield text.take_object()
            while text.peek() == ",":
                text.expect(",")
                if text.peek() == "]":
                    refuse_line(text.line, "the array ends with a comma", "Remove the comma after the last row.")
                yield text.take_object()
        text.expect("]")
        if text.peek():
            refuse_line(text.line, "there is more after the end of the array", _HINT)


def read_lone_object(source: TextSource) -> Source | None:
    """The one object that a file holds over several lines; None where it is something else, or larger than a row."""
    with source.open() as file:
        content = file.read(source.limits.max_row_bytes + 1)
    if len(content) > source.limits.max_row_bytes:
        return None
    try:
        value = _DECODER.decode(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class _Text:
    """A window on the characters of a file, refilled as it is consumed."""

    def __init__(self, file: Any, limits: TableLimits) -> None:
        self.line = 1
        self._file = file
        self._limits = limits
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._buffer, self._position, self._ended = "", 0, False

    def peek(self) -> str:
        """The next character that is no space, or nothing at the end."""
        self.skip_space()
        return self._buffer[self._position : self._position + 1]

    def skip_space(self) -> None:
        while True:
            start, self._position = self._position, _SPACE.match(self._buffer, self._position).end()  # type: ignore[union-attr]
            self.line += self._buffer.count("\n", start, self._position)
            if self._position < len(self._buffer) or self._ended:
                return
            self._fill(_PIECE_BYTES)

    def expect(self, character: str) -> None:
        if (found := self.peek()) != character:
            what = (
                f"{character!r} was expected where {found!r} stands" if found else "the file ends before its array does"
            )
            refuse_line(self.line, what, _HINT)
        self._position += 1

    def take_object(self) -> Source:
        """The next object. Tries what is there and reads as much again for as long as that may help."""
        if self.peek() != "{":
            refuse_line(self.line, "the array holds something that is no object", _LIST_HINT)
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._position)
            except (ValueError, RecursionError) as error:
                held = len(self._buffer) - self._position
                if self._ended or isinstance(error, RecursionError):
                    _refuse_json(error, self.line)
                if held > self._limits.max_row_bytes:
                    refuse_size(
                        f"a broken row, or one of more than {self._limits.max_row_bytes} bytes, in line {self.line}",
                        self._limits,
                    )
                self._fill(max(held, _PIECE_BYTES))
                continue
            self._advance(end)
            return _checked(value, self.line, self._limits)

    def _advance(self, end: int) -> None:
        if end - self._position > self._limits.max_row_bytes:
            refuse_size(f"a row of more than {self._limits.max_row_bytes} bytes in line {self.line}", self._limits)
        self.line += self._buffer.count("\n", self._position, end)
        self._position = end

    def _fill(self, size: int) -> None:
        piece = self._file.read(size)
        self._ended = not piece
        try:
            decoded = self._decoder.decode(piece, final=self._ended)
        except UnicodeDecodeError:
            refuse_line(self.line, "the file is not UTF-8 from here on", "Save the file as UTF-8.")
        self._buffer, self._position = self._buffer[self._position :] + decoded, 0


def _parse_line(line: bytes, number: int, limits: TableLimits) -> Source:
    try:
        value = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        refuse_line(number, "it is not UTF-8", "Save the file as UTF-8.")
    except (ValueError, RecursionError) as error:
        looks_like_csv = number == 1 and not line.lstrip().startswith((b"{", b"["))
        _refuse_json(error, number, _CSV_HINT if looks_like_csv else _HINT)
    if not isinstance(value, dict):
        refuse_line(number, "it holds no JSON object", _LIST_HINT)
    return _checked(value, number, limits)


def _checked(value: Source, line: int, limits: TableLimits) -> Source:
    check_columns(value, limits, f"line {line}")
    return value


def _refuse_json(error: Exception, line: int, hint: str = _HINT) -> None:
    if isinstance(error, RecursionError):
        refuse_line(
            line, "it is nested too deeply", "Rows are flat objects; keep lists and objects inside them shallow."
        )
    if isinstance(error, json.JSONDecodeError):
        refuse_line(line, f"it is not valid JSON ({error.msg}, character {error.colno})", hint)
    fault = str(error)
    hint = next((better for ending, better in _FAULT_HINTS.items() if fault.endswith(ending)), hint)
    refuse_line(line, f"it is not valid JSON ({fault[:100]})", hint)


def _unique(pairs: list[tuple[str, Any]]) -> Source:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError(_TWICE)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} {_CONSTANT}")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)

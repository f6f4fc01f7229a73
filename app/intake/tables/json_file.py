"""JSON Lines and JSON arrays, read row by row."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.intake.tables.limits import Source, TableLimits, check_columns, refuse_line, refuse_size

_HINT = "Write one JSON object a line (JSONL), or one JSON array of objects."
_PIECE_BYTES = 1 << 18
_SPACE = " \t\r\n"


def read_jsonl(path: Path, limits: TableLimits) -> Iterator[Source]:
    """Objects of a JSON Lines file; blank lines are passed over. Raises BrokenRow with `extra["line"]`, TooLarge."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(limits.max_row_bytes + 2):
            number += 1
            if len(line) > limits.max_row_bytes + 1:
                refuse_size(f"a row of more than {limits.max_row_bytes} bytes in line {number}", limits)
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield _parse_line(line, number, limits)


def read_json_array(path: Path, limits: TableLimits) -> Iterator[Source]:
    """Objects of one JSON array, holding no more than a few rows in memory. Raises as `read_jsonl` does."""
    with path.open("rb") as file:
        text = _Text(file, limits)
        text.skip_space()
        text.expect("[")
        if text.peek() != "]":
            yield text.take_object()
            while text.peek() == ",":
                text.expect(",")
                yield text.take_object()
        text.expect("]")
        if text.peek():
            refuse_line(text.line, "there is more after the end of the array", _HINT)


class _Text:
    """A window on the characters of a file, refilled as it is consumed."""

    def __init__(self, file: Any, limits: TableLimits) -> None:
        self.line = 1
        self._file = file
        self._limits = limits
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._buffer, self._position, self._ended = "", 0, False

    def peek(self) -> str:
        """The next character that is no space, or nothing at the end."""
        self.skip_space()
        return self._buffer[self._position : self._position + 1]

    def skip_space(self) -> None:
        while True:
            while self._position < len(self._buffer) and (character := self._buffer[self._position]) in _SPACE:
                self.line += character == "\n"
                self._position += 1
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
            refuse_line(self.line, "the array holds something that is no object", _HINT)
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
        _refuse_json(error, number)
    if not isinstance(value, dict):
        refuse_line(number, "it holds no JSON object", _HINT)
    return _checked(value, number, limits)


def _checked(value: Source, line: int, limits: TableLimits) -> Source:
    check_columns(value, limits, f"line {line}")
    return value


def _refuse_json(error: Exception, line: int) -> None:
    if isinstance(error, RecursionError):
        refuse_line(
            line, "it is nested too deeply", "Rows are flat objects; keep lists and objects inside them shallow."
        )
    if isinstance(error, json.JSONDecodeError):
        refuse_line(line, f"it is not valid JSON ({error.msg}, character {error.colno})", _HINT)
    refuse_line(line, f"it is not valid JSON ({str(error)[:100]})", _HINT)


def _unique(pairs: list[tuple[str, Any]]) -> Source:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object names a field twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)

"""Labels that are numbers: a float, or as many floats as the head has outputs."""

import math
import re
from collections.abc import Sequence
from typing import Any

from influence.errors import BrokenRow, InvalidRequest, RowsRefused
from influence.rows.label_forms.written_lists import read_list

Numbers = float | list[float]
#: A number in a source without types.
NUMBER = re.compile(r"[-+]?(\d{1,300}\.?\d{0,300}|\.\d{1,300})([eE][-+]?\d{1,2})?")
#: More outputs than this is a column of something else.
MAX_NUMBERS = 1000
_COMMA = re.compile(r"\s*[-+]?[0-9]+(,[0-9]+)+(\.[0-9]+)?\s*")
_COMMA_HINT = "Write numbers as JSON does, 0.5 and 1000: with a point before the fraction, and no other marks."
_HINT = "Write the number that the model is to predict, or a list of them where its head has several outputs."


class NumberBook:
    """Checks the number labels of a data set one by one: all have as many numbers as the first.

    Raises InvalidRequest for names: numbers have none.
    """

    def __init__(self, given: Sequence[str] | None = None) -> None:
        if given is not None:
            raise InvalidRequest(
                "'label_names' name classes, and these labels are numbers.", hint="Leave 'label_names' out."
            )
        self.width: int | None = None

    def read(self, value: Any, column: str, *, role: str, typed: bool) -> Numbers | None:
        """A label in normal form; None where the row has none. A string that writes a number is one, in any source.

        Raises BrokenRow without a row number.
        """
        if value is None or value == "" or (isinstance(value, float) and value != value):
            return None
        if isinstance(value, str) and (written := read_list(value)) is not None:
            value = written
        if not isinstance(value, list | tuple):
            return _as_number(value, column)
        numbers = [_as_number(item, column) for item in value]
        if not 1 <= len(numbers) <= MAX_NUMBERS:
            raise BrokenRow(f"column {column!r} holds {len(numbers)} numbers.", hint=_HINT)
        return numbers[0] if len(numbers) == 1 else numbers

    def check(self, label: Numbers) -> None:
        """Any number goes with any other."""

    def add(self, label: Numbers, name: object) -> None:
        """Take up one row's label. Raises RowsRefused where it has another count of numbers than those before."""
        width = count_numbers(label)
        if self.width is not None and width != self.width:
            raise RowsRefused(
                f"the label has {width} numbers, the rows before have {self.width}.",
                hint="Give every row one number per output of the head.",
            )
        self.width = width

    def names(self) -> None:
        """Numbers have no names."""

    def facts(self) -> dict[str, int]:
        """How many numbers every row has."""
        return {} if self.width is None else {"numbers_per_row": self.width}


def count_numbers(label: Numbers) -> int:
    """Numbers of a label in normal form."""
    return len(label) if isinstance(label, list) else 1


def _as_number(value: Any, column: str) -> float:
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        hint = _COMMA_HINT if isinstance(value, str) and _COMMA.fullmatch(value[:80]) else _HINT
        raise BrokenRow(f"column {column!r} holds {str(value)[:40]!r}, which is no number.", hint=hint)
    return float(value)

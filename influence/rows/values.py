"""One value of one row in its normal form. Refusals are BrokenRow without a row number; the caller adds it."""

import re
from collections.abc import Mapping
from typing import Any

from influence.digests import canonical_json
from influence.errors import BrokenRow

MAX_ID_CHARACTERS = 512
MAX_LABEL_CHARACTERS = 1024
MAX_JSON_DEPTH = 32
Label = int | str
#: The largest int that every reader of JSON keeps exactly.
_MAX_INT = 2**53
_SURROGATE = re.compile("[\ud800-\udfff]")
UNWRITABLE = re.compile("[\0\ud800-\udfff]")
#: A class number in a source without types; "3.0" is what a nullable int column becomes in CSV.
_WHOLE = re.compile(r"(-?[0-9]{1,15})(?:\.0)?")


def as_text(value: Any, column: str) -> str:
    """A string that can be written as UTF-8 and shown: no half surrogate pairs, no NUL."""
    if not isinstance(value, str):
        raise BrokenRow(
            f"column {column!r} holds {_kind(value)} where text is needed.",
            hint="Drop the rows without text, or name another column in 'columns'.",
        )
    if _SURROGATE.search(value):
        raise BrokenRow(
            f"column {column!r} holds half of a surrogate pair, which is no character.",
            hint="Write the file as UTF-8 without \\uD800..\\uDFFF escapes that stand alone.",
        )
    if "\0" in value:
        raise BrokenRow(
            f"column {column!r} holds a NUL character.", hint="Remove NUL characters; is the file UTF-16 or binary?"
        )
    return value


def as_id(value: Any, column: str) -> str:
    """A row id as a string; ints are written out."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BrokenRow(
            f"column {column!r} holds {_kind(value)} where an id is needed.",
            hint='Give every row an id, or send columns with "id": "" for ids made from row numbers.',
        )
    text = as_text(str(value) if isinstance(value, str) or abs(value) < _MAX_INT**2 else "", column)
    if not text.strip() or len(text) > MAX_ID_CHARACTERS:
        raise BrokenRow(
            f"column {column!r} holds an empty id or one of more than {MAX_ID_CHARACTERS} characters.",
            hint='Mend the id, or send columns with "id": "" for ids made from row numbers.',
        )
    return text


def as_label(value: Any, column: str, *, typed: bool) -> Label | None:
    """A class as an int or a name; None where the row has none.

    Bools become 0 and 1 and whole floats become ints, because tables store classes so (a nullable int column
    comes out of pandas as floats); other floats are refused. In an untyped source (CSV) "3" is the int 3.
    """
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, str):
        return _named_label(value, column, typed=typed)
    if isinstance(value, bool | int | float) and abs(value) < _MAX_INT and value == int(value):
        return int(value)
    raise BrokenRow(
        f"column {column!r} holds {_kind(value)}, which is no class label.",
        hint="Labels are class numbers (0, 1, ...) or class names.",
    )


def as_class(value: Any, column: str, *, typed: bool) -> str:
    """The name of a row's class; class numbers are written out. Raises BrokenRow, also where there is none."""
    label = as_label(value, column, typed=typed)
    if label is None:
        raise BrokenRow(
            f"column {column!r} holds nothing where a class is needed.",
            hint="Give every row its class, drop the rows without one, or leave the role 'class' out of 'columns'.",
        )
    return str(label)


def _named_label(value: str, column: str, *, typed: bool) -> Label | None:
    text = as_text(value, column)
    if not text.strip():
        return None
    if len(text) > MAX_LABEL_CHARACTERS:
        raise BrokenRow(
            f"column {column!r} holds a label of {len(text)} characters.",
            hint="Name the column of class labels in 'columns'.",
        )
    if not typed and (number := _WHOLE.fullmatch(text.strip())):
        return int(number[1])
    return text


def as_json(value: Any, column: str) -> Any:
    """A JSON value that can be written again: no NaN, no bytes, no times; nulls inside objects are dropped."""
    try:
        kept = _without_nulls(value, MAX_JSON_DEPTH)
        canonical_json(kept)
    except (TypeError, ValueError) as error:
        raise BrokenRow(
            f"column {column!r} holds something that is no JSON.", hint=f"Mend it: {str(error)[:200]}."
        ) from error
    return kept


def _without_nulls(value: Any, depth: int) -> Any:
    # Parquet fills the fields that other rows have with nulls; the row as it was written had none.
    if depth == 0:
        raise ValueError(f"it is nested more than {MAX_JSON_DEPTH} deep")
    if isinstance(value, Mapping):
        return {str(key): _without_nulls(item, depth - 1) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(item, depth - 1) for item in value]
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool | int | float | str):
        return (
            f"{str(value)[:40]!r} ({type(value).__name__})"
            if not isinstance(value, int) or abs(value) < _MAX_INT
            else "a huge int"
        )
    return f"a {type(value).__name__}"

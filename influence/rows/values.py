"""One value of one row in its normal form. Refusals are BrokenRow without a row number; the caller adds it."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from typing import Any, Literal

from influence.digests import canonical_json
from influence.errors import BrokenRow
from influence.rows.images.sources import ImageFile

MAX_ID_CHARACTERS = 512
MAX_JSON_DEPTH = 32
Label = int | str
#: The largest int that every reader of JSON keeps exactly.
MAX_INT = 2**53
UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")

#: What a value is, as JSON and Arrow tell values apart.
ValueKind = Literal["nothing", "truth", "number", "text", "time", "bytes", "list", "object", "image", "other"]
_KINDS: dict[type, ValueKind] = {
    type(None): "nothing",
    bool: "truth",
    int: "number",
    float: "number",
    str: "text",
    bytes: "bytes",
    list: "list",
    tuple: "list",
    dict: "object",
    ImageFile: "image",
}
#: What to do where text is needed and something else lies there.
_TEXT_HINTS: dict[ValueKind, str] = {
    "nothing": "Drop the rows without text, or name another column in 'columns'.",
    "truth": "Name the column that holds the text in 'columns'; a truth value is none. If it is the class of a text, "
    'send columns={"text": "<column>", "label": "<this one>"}, with the second text of a pair as "text_pair".',
    "number": 'Write numbers that are meant as text in quotes, such as "42", or name the column that holds the text. '
    "Of the number of a choice send the choice itself.",
    "time": "Write times that are meant as text as strings, or name the column that holds the text.",
    "bytes": "Decode the bytes to text before sending; pictures are read from a column with the role 'image'.",
    "image": "Name the column that holds the text in 'columns'; this one holds pictures.",
    "object": "Send the field inside it that holds the text as a column of its own.",
    "other": "Convert the column to strings.",
}


#: Characters that make a spreadsheet take a cell for a formula when it begins with them.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def is_kept_from_running(cell: Any) -> bool:
    """Whether a cell is a text with a quote before what a spreadsheet would run as a formula."""
    return isinstance(cell, str) and cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS)


class WrittenObject(dict[str, Any]):
    """An object that was written as JSON in a source that fills others with nulls: its own nulls were written."""


def kind_of_value(value: Any) -> ValueKind:
    """What a value is."""
    found = _KINDS.get(type(value))
    if found is not None:
        return found
    if isinstance(value, Mapping):
        return "object"
    return "time" if isinstance(value, date | time | timedelta) else "other"


def as_text(value: Any, column: str) -> str:
    """A string that can be written as UTF-8 and shown: no half surrogate pairs, no NUL."""
    if not isinstance(value, str):
        raise BrokenRow(f"column {column!r} holds {describe(value)} where text is needed.", hint=_text_hint(value))
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


def _text_hint(value: Any) -> str:
    if not isinstance(value, list | tuple):
        if isinstance(value, Mapping) and value.keys() & {"bytes", "path", "array"}:
            return _TEXT_HINTS["bytes"]
        return _TEXT_HINTS[kind_of_value(value)]
    if are_messages(value):
        return (
            "A list of messages makes a conversation: name its column as 'messages', or send both 'prompt' and "
            "'completion' as lists of messages in every row."
        )
    if value and all(isinstance(item, int | float) for item in value):
        return "These look like token ids or numbers: send the text that they were made of."
    if value and all(isinstance(item, str) for item in value):
        return "One row has one text: join the parts as they were joined in training, or send one row per text."
    return "Send the text itself: a list of values cannot be read as one."


def are_messages(value: Any) -> bool:
    """Whether a value looks like a list of messages: objects with a role or a speaker."""
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str | bytes)
        and bool(value)
        and all(isinstance(item, Mapping) and item.keys() & {"role", "from"} for item in value)
    )


def as_id(value: Any, column: str) -> str:
    """A row id as a string; ints are written out."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BrokenRow(
            f"column {column!r} holds {describe(value)} where an id is needed.",
            hint='Give every row an id, or send columns with "id": "" for ids made from row numbers.',
        )
    text = as_text(str(value) if isinstance(value, str) or abs(value) < MAX_INT**2 else "", column)
    if not text.strip() or len(text) > MAX_ID_CHARACTERS:
        raise BrokenRow(
            f"column {column!r} holds an empty id or one of more than {MAX_ID_CHARACTERS} characters.",
            hint='Fix the id, or send columns with "id": "" for ids made from row numbers.',
        )
    return text


def as_json(value: Any, column: str, *, filled: bool = False) -> Any:
    """A JSON value that can be written again: no NaN, no bytes, no times.

    `filled` says that the source fills fields that a row does not have with nulls, as Parquet does: these are dropped
    from objects. Nulls that were written stay, those of a `WrittenObject` always.
    """
    try:
        kept = _plain(value, MAX_JSON_DEPTH, filled)
        canonical_json(kept)
    except (TypeError, ValueError) as error:
        raise BrokenRow(
            f"column {column!r} holds something that is no JSON.", hint=f"Fix it: {str(error)[:200]}."
        ) from error
    return kept


def holds_nulls(value: Any) -> bool:
    """Whether an object at any depth of a value has a null that may have been filled in."""
    if isinstance(value, Mapping):
        return not isinstance(value, WrittenObject) and any(
            item is None or holds_nulls(item) for item in value.values()
        )
    return isinstance(value, list | tuple) and any(holds_nulls(item) for item in value)


def _plain(value: Any, depth: int, filled: bool) -> Any:
    if depth == 0:
        raise ValueError(f"it is nested more than {MAX_JSON_DEPTH} deep")
    if isinstance(value, Mapping):
        filled = filled and not isinstance(value, WrittenObject)
        return {
            str(key): _plain(item, depth - 1, filled) for key, item in value.items() if item is not None or not filled
        }
    if isinstance(value, list | tuple):
        return [_plain(item, depth - 1, filled) for item in value]
    return value


def describe(value: Any) -> str:
    """What a refused value is, in a few words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool | int | float | str):
        return (
            f"{str(value)[:40]!r} ({type(value).__name__})"
            if not isinstance(value, int) or abs(value) < MAX_INT
            else "a huge int"
        )
    return f"a {type(value).__name__}"

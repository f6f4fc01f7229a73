"""What one label cell says: names before numbers, one reading or a refusal.

given names     a text that equals one of the names given is that name, whatever it looks like
missing         nothing, NaN, blank, and the words that tools write for nothing: they are no classes
several         lists of more than one, objects, and texts that hold JSON, a Python or NumPy list: a row has one class
typed           (JSON, Parquet) ints and whole floats are class numbers, true and false are classes 1 and 0, texts are
                names, also those that look like numbers
untyped         (CSV) whole numbers such as 3 and 3.0 are class numbers, true and false are classes 1 and 0; other
                texts that look like numbers, also with a comma, are refused
"""

import ast
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from influence.errors import BrokenRow
from influence.rows.label_forms.written_lists import read_list
from influence.rows.values import MAX_INT, Label, as_text, describe

MAX_LABEL_CHARACTERS = 1024
Form = Literal["number", "truth", "name"]
FORMS: dict[Form, str] = {"number": "a class number", "truth": "true or false", "name": "a name"}
MISSING_WORDS = frozenset(
    {"", "nan", "-nan", "null", "none", "n/a", "na", "<na>", "nil", "nat", "-", "--", "–", "—", "?", "undefined"}
    # What pandas reads as nothing, databases and spreadsheets export, and labelling tools write.
    | {"#n/a n/a", "-1.#ind", "1.#ind", "-1.#qnan", "1.#qnan", "\\n", "n.a.", "n.a", "[null]"}
    | {"(blank)", "(empty)", "(none)", "(null)", "unlabeled", "unlabelled"}
    | {"#n/a", "#na", "#value!", "#ref!", "#name?", "#num!", "#null!", "#div/0!"}
)
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]{0,14}))(?:\.0+)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?[0-9]+(?:,[0-9]+)+(?:\.[0-9]+)?")
_TRUTHS = {"true": 1, "false": 0}


@dataclass(frozen=True, slots=True)
class Reading:
    """A label and the form in which it was written."""

    label: Label
    form: Form


@dataclass(frozen=True, slots=True)
class NoLabel:
    """A cell that says no class, or several; `word` is what it holds."""

    reason: Literal["missing", "several"]
    word: str


def read_label(value: Any, column: str, *, typed: bool, names: Collection[str] = ()) -> Reading | NoLabel:
    """What a cell says. Raises BrokenRow for what is neither a class nor nothing."""
    if value is None or value != value:
        return NoLabel("missing", "")
    if isinstance(value, str):
        return _read_text(value, column, typed=typed, names=names)
    if isinstance(value, list | tuple) and len(value) == 1 and not isinstance(value[0], list | tuple | dict):
        return read_label(value[0], column, typed=typed, names=names)
    if isinstance(value, list | tuple | dict):
        return NoLabel("several", str(value)[:80])
    if isinstance(value, bool):
        return Reading(int(value), "truth")
    if isinstance(value, int | float) and abs(value) < MAX_INT and value == int(value):
        return Reading(int(value), "number")
    raise BrokenRow(
        f"column {column!r} holds {describe(value)}, which is no class label.",
        hint="Labels are class numbers (0, 1, ...) or class names. For numbers that the model predicts, name the "
        f'column as \'score\': columns={{"score": "{column[:80]}"}}.',
    )


def as_class(value: Any, column: str, *, typed: bool) -> str:
    """The name of a row's class; class numbers are written out. Raises BrokenRow, also where there is none."""
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        raise BrokenRow(
            f"column {column!r} holds nothing where a class is needed.",
            hint="Give every row its class, drop the rows without one, or leave the role 'class' out of 'columns'.",
        )
    if isinstance(value, str):
        whole = None if typed else _WHOLE.fullmatch(value.strip())
        return whole[1] if whole else _bounded(as_text(value, column), column)
    found = read_label(value, column, typed=typed)
    if isinstance(found, NoLabel):
        raise BrokenRow(
            f"column {column!r} holds {describe(value)} where one class is needed.",
            hint="Name a column that holds one class per row, or leave the role 'class' out of 'columns'.",
        )
    return str(found.label)


def looks_whole(name: str) -> bool:
    """Whether a name could be taken for a class number."""
    return _WHOLE.fullmatch(name) is not None


def _read_text(value: str, column: str, *, typed: bool, names: Collection[str]) -> Reading | NoLabel:
    text = as_text(value, column)
    if text in names:
        return Reading(text, "name")
    bare = text.strip()
    if bare.lower() in MISSING_WORDS:
        return NoLabel("missing", bare)
    if _holds_several(bare):
        return NoLabel("several", bare[:80])
    if typed:
        return Reading(_bounded(text, column), "name")
    if bare.lower() in _TRUTHS:
        return Reading(_TRUTHS[bare.lower()], "truth")
    if whole := _WHOLE.fullmatch(bare):
        return Reading(int(whole[1]), "number")
    if _NUMBER.fullmatch(bare):
        raise BrokenRow(
            f"column {column!r} holds the number {bare[:40]!r}, which is no class label.",
            hint="Class numbers are written 0, 1, 2, ... without leading zeros or commas; send such texts in "
            "'label_names' where they name classes. Vectors of 0 and 1, one for each class: "
            f'columns={{"label_vector": "{column[:80]}"}}. '
            "For numbers that the model predicts, with a point before their "
            f'fractions: columns={{"score": "{column[:80]}"}}.',
        )
    return Reading(_bounded(text, column), "name")


def _bounded(text: str, column: str) -> str:
    if len(text) > MAX_LABEL_CHARACTERS:
        raise BrokenRow(
            f"column {column!r} holds a label of {len(text)} characters.",
            hint="Name the column of class labels in 'columns'.",
        )
    return text


def _holds_several(text: str) -> bool:
    """Whether a text is a list or an object, as JSON or as Python prints it."""
    if (text[:1], text[-1:]) not in (("[", "]"), ("{", "}"), ("(", ")")) or len(text) > MAX_LABEL_CHARACTERS:
        return False
    if read_list(text) is not None:
        return True
    for parse in (json.loads, ast.literal_eval):
        try:
            return isinstance(parse(text), list | dict | tuple | set)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return False

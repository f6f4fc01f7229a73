"""Lists in tables without types: as JSON, or as pandas leaves them in CSV, printed by Python or by NumPy.

Only flat lists of texts and numbers are read so, item by item; nothing is evaluated.
"""

import json
import re
from typing import Any

_TEXT = r"""'(?:[^'\\\n]|\\['"\\])*'|"(?:[^"\\\n]|\\['"\\])*\""""
_ITEM = re.compile(
    rf"\s*(?:({_TEXT})|([-+]?(?:\d{{1,18}}\.?\d{{0,18}}|\.\d{{1,18}})(?:[eE][-+]?\d{{1,2}})?)|(True|False|None))"
)
_COMMA, _SPACE = re.compile(r"\s*,"), re.compile(r"(?=\s)")
_WORDS = {"True": True, "False": False, "None": None}
_ESCAPED = re.compile(r"\\(.)")


def read_list(text: str) -> list[Any] | None:
    """The items of a list that a text writes; None where it writes none, or parts of it were left out (`...`)."""
    bare = text.strip()
    if not (bare.startswith("[") and bare.endswith("]")):
        return None
    try:
        found = json.loads(bare)
    except (ValueError, RecursionError):
        inside = bare[1:-1]
        return _split(inside, _COMMA) or _split(inside, _SPACE)
    return found if isinstance(found, list) else None


def _split(inside: str, between: re.Pattern[str]) -> list[Any] | None:
    items: list[Any] = []
    place, end = 0, len(inside.rstrip())
    while item := _ITEM.match(inside, place, end):
        items.append(_value(item))
        place = item.end()
        if place == end:
            return items
        gap = between.match(inside, place, end)
        if gap is None:
            return None
        place = gap.end()
    return None


def _value(item: re.Match[str]) -> Any:
    written, number, word = item.groups()
    if written is not None:
        return _ESCAPED.sub(r"\1", written[1:-1])
    if number is not None:
        return int(number) if number.lstrip("+-").isdigit() else float(number)
    return _WORDS[word]

"""The words of a row, and those that somebody looks for."""

import re
from collections.abc import Mapping
from typing import Any

from influence.contracts.dataset import ROW_FORMS, RowKind

_PHRASE = re.compile(r'"([^"]+)"|(\S+)')


def words_of(row: Mapping[str, Any], kind: RowKind) -> str:
    """What people read in a row, without regard to case."""
    return "\n".join(_text(row.get(name)) for name in ROW_FORMS[kind].words).casefold()


def phrases_of(q: str) -> list[str]:
    """Words, and groups of words in double quotes that have to stand together, without regard to case."""
    return [(quoted or word).casefold() for quoted, word in _PHRASE.findall(q)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(map(_text, value))
    if isinstance(value, Mapping):  # a turn of a conversation, or a part of one
        return " ".join(_text(value[name]) for name in ("role", "content", "text", "tool_calls") if value.get(name))
    return "" if value is None else str(value)

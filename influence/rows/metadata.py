"""Columns that play no role: kept with the rows, typed, bounded, and read by no model."""

import re
from collections.abc import Collection, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from influence.contracts.dataset import MetadataType
from influence.digests import canonical_json
from influence.errors import BrokenRow
from influence.rows.findings import Findings
from influence.rows.values import UNWRITABLE, as_json

#: Characters of JSON that the metadata of one row may take.
MAX_METADATA_CHARACTERS = 1 << 16
MAX_NAME_CHARACTERS = 200
_SCALAR_CHARACTERS = 24
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,3})?")
#: Digits that every float keeps.
_SURE_CHARACTERS = 16
_TRUTHS = {"true": True, "false": False}


class MetadataReader:
    """Takes up what a row holds beside its roles; `columns()` is complete after the last row.

    `text_types` says what the texts of an untyped source (CSV) are; `filled` is as in `as_json`. A value that cannot
    be kept is left out and noted.
    """

    def __init__(
        self,
        used: Collection[str],
        findings: Findings,
        *,
        text_types: Mapping[str, MetadataType] | None = None,
        filled: bool = False,
    ) -> None:
        self._used = frozenset(used)
        self._findings = findings
        self._text_types = text_types
        self._filled = filled
        self._types: dict[str, set[MetadataType]] = {}

    def read(self, row: int, source: Mapping[str, Any]) -> dict[str, Any]:
        """What one row holds: values by column, those that are null left out."""
        kept: dict[str, Any] = {}
        room = MAX_METADATA_CHARACTERS
        for name, value in source.items():
            if name in self._used or value is None or value != value:
                continue
            if self._text_types is not None and not value:
                continue
            plain = self._plain(name, value)
            size = len(name) + _size(plain)
            if plain is None or size > room:
                self._findings.note("metadata_not_kept", escaped(name), row)
                continue
            room -= size
            kept[name] = plain
            self._findings.note("columns_not_read", name, row)
        return kept

    def columns(self) -> dict[str, MetadataType]:
        """Column to type, in the order in which columns were met."""
        return {name: next(iter(types)) if len(types) == 1 else _common(types) for name, types in self._types.items()}

    def _plain(self, name: str, value: Any) -> Any:
        """The value as JSON can hold it, its type taken down; None where it cannot be kept."""
        if not can_be_named(name):
            return None
        if self._text_types is not None:
            found = self._text_types.get(name, "string")
            plain = _parsed(value, found)
        else:
            found, plain = _typed(value, self._filled)
        if isinstance(plain, str) and UNWRITABLE.search(plain):
            return None
        if plain is not None:
            types = self._types.setdefault(name, set())
            if plain != "":
                types.add(found)
        return plain


class TextTypes:
    """What the texts of columns are, found in one pass over an untyped source."""

    def __init__(self) -> None:
        self._possible: dict[str, tuple[MetadataType, ...]] = {}

    def add(self, row: Mapping[str, str]) -> None:
        """Take up one row; empty texts say nothing."""
        for name, text in row.items():
            if text and (possible := self._possible.get(name, ("number", "boolean", "time"))):
                self._possible[name] = tuple(kind for kind in possible if _fits(text, kind))

    def found(self) -> dict[str, MetadataType]:
        """Column to type; columns that are not named hold strings or nothing."""
        return {name: possible[0] for name, possible in self._possible.items() if possible}


def can_be_named(column: str) -> bool:
    """Whether a column's name can be written in a request and in an answer."""
    return 0 < len(column) <= MAX_NAME_CHARACTERS and not UNWRITABLE.search(column)


def escaped(name: str) -> str:
    """A name that can be shown whatever it holds."""
    return name[:MAX_NAME_CHARACTERS].encode("ascii", "backslashreplace").decode().replace("\0", "\\0") or "(no name)"


def _fits(text: str, kind: MetadataType) -> bool:
    if kind == "number":
        return _WHOLE.fullmatch(text) is not None or _is_float(text)
    return text.lower() in _TRUTHS if kind == "boolean" else _TIME.fullmatch(text) is not None


def _is_float(text: str) -> bool:
    """Whether a text is a number that a float keeps: few digits, or as many as Python writes itself."""
    return _FRACTION.fullmatch(text) is not None and (len(text) <= _SURE_CHARACTERS or repr(float(text)) == text)


def _parsed(text: str, kind: MetadataType) -> Any:
    if kind == "number":
        return int(text) if _WHOLE.fullmatch(text) else float(text)
    return _TRUTHS[text.lower()] if kind == "boolean" else text


def _typed(value: Any, filled: bool) -> tuple[MetadataType, Any]:
    if isinstance(value, str):
        return "time" if _TIME.fullmatch(value) else "string", value
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int):
        return "number", value
    if isinstance(value, float):
        return "number", value if abs(value) != float("inf") else None
    if isinstance(value, date | datetime):
        return "time", value.isoformat()
    if isinstance(value, Decimal | time | timedelta):
        return "string", str(value)
    try:
        return "json", as_json(value, "metadata", filled=filled)
    except BrokenRow:
        return "json", None


def _common(types: Collection[MetadataType]) -> MetadataType:
    return "string" if set(types) <= {"string", "time"} else "json"


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return len(canonical_json(value)) if isinstance(value, list | dict) else _SCALAR_CHARACTERS

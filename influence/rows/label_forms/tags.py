"""Labels of tokens: a class for each word of a row, or spans of its text that have a name."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from influence.contracts.dataset import ROW_FORMS, TOKENS, RowKind
from influence.errors import BrokenRow
from influence.rows.label_forms.written_lists import read_list
from influence.rows.labels import LabelBook
from influence.rows.values import Label, as_text

_TAGS, _SPANS = TOKENS.label_roles
#: What data sets write for a token that carries no loss.
_NO_LOSS = -100
#: What tokens outside of all spans are called where it is not `O`: a class like any other, of a head that has it.
_OUTSIDE = frozenset({"none", "-", "--", "_"})
_TAGS_HINT = 'Write one class per token, such as ["O", "B-PER"]; null or -100 for a token without loss.'
_WRITTEN = "In a table without types each cell holds it as JSON, as json.dumps writes it."
_SPANS_HINT = 'Write spans of characters such as [{"start": 0, "end": 4, "label": "PER"}], none inside another.'


class TagBook:
    """Checks tags and spans one by one: all classes are numbers or all are names, spans have names."""

    def __init__(self, given: Sequence[str] | None = None, *, numbered: bool = False) -> None:
        self._book = LabelBook(given, numbered=numbered)

    def read(self, value: Any, column: str, *, role: str, typed: bool) -> list[Any] | None:
        """Tags in the order of the tokens, or spans in the order of the text; None where the row has no label.

        A text that holds a JSON list is one. Raises BrokenRow without a row number.
        """
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        found = as_list(value, column, _SPANS_HINT if role == _SPANS else _TAGS_HINT)
        if role == _SPANS:
            return _in_order([_as_span(item, column) for item in found], column)
        return [self._read_tag(item, column) for item in found]

    def _read_tag(self, item: Any, column: str) -> Label | None:
        if item is None or item == _NO_LOSS:
            return None
        if isinstance(item, str) and item.strip().lower() in _OUTSIDE:
            return item
        tag = self._book.read(item, column, role=_TAGS, typed=True)
        if tag is None:
            raise BrokenRow(
                f"column {column!r} holds the tag {str(item)[:40]!r}, which is empty or a word for nothing.",
                hint=f"{_TAGS_HINT} If such a word is the name of a class, send all names in 'label_names'.",
            )
        return tag

    def check(self, label: Sequence[Any]) -> None:
        """Raise LabelOutOfRange or LabelUnknown for a tag that does not go with the names given."""
        for tag in _tags_of(label):
            self._book.check(tag)

    def add(self, label: Sequence[Any], name: object) -> None:
        """Take up one row's tags. Raises RowsRefused where rows before have names and this one numbers."""
        for tag in _tags_of(label):
            self._book.add(tag, None)

    def names(self) -> tuple[str, ...] | None:
        """The names given."""
        return self._book.given

    def facts(self) -> dict[str, int]:
        """Counts say all that is to be known."""
        return {}


def check_extent(kind: RowKind, row: Mapping[str, Any]) -> None:
    """Raise BrokenRow where a row with tags has more or fewer of them than tokens, or a span beyond its text."""
    label = row.get("label")
    if ROW_FORMS[kind].label != "tags" or label is None:
        return
    if "tokens" in row and len(label) != len(row["tokens"]):
        raise BrokenRow(f"{len(row['tokens'])} tokens have {len(label)} tags.", hint=_TAGS_HINT)
    if "tokens" not in row and label and label[-1]["end"] > len(row["text"]):
        raise BrokenRow(
            f"a span ends at {label[-1]['end']}, the text at {len(row['text'])}.",
            hint="Count characters of the text from 0; 'end' is the first that no longer belongs to the span.",
        )


def as_tokens(value: Any, column: str) -> list[str]:
    """The words of a row, none of them empty. Raises BrokenRow."""
    hint = 'Write the words as a list such as ["My", "parcel"], or a text with spans in the roles text and spans.'
    words = [as_text(item, column) for item in as_list(value, column, hint)]
    if not words or not all(word.strip() for word in words):
        raise BrokenRow(f"column {column!r} holds no words, or an empty one.", hint=hint)
    return words


def as_list(value: Any, column: str, hint: str) -> Sequence[Any]:
    """A list, or a text that writes one: see `written_lists`. Raises BrokenRow."""
    if isinstance(value, str) and (written := read_list(value)) is not None:
        value = written
    if not isinstance(value, list | tuple):
        raise BrokenRow(f"column {column!r} holds {str(value)[:40]!r}, which is no list.", hint=f"{hint} {_WRITTEN}")
    return value


def _tags_of(label: Sequence[Any]) -> list[Any]:
    return [tag for tag in label if tag is not None and not isinstance(tag, Mapping)]


def _as_span(item: Any, column: str) -> dict[str, Any]:
    fields = dict(zip(("start", "end", "label"), item, strict=False)) if isinstance(item, list | tuple) else item
    if not isinstance(fields, Mapping):
        raise BrokenRow(f"column {column!r} holds what is no span.", hint=_SPANS_HINT)
    start, end, name = (fields.get(key) for key in ("start", "end", "label"))
    are_places = all(isinstance(place, int) and not isinstance(place, bool) for place in (start, end))
    if not are_places or not isinstance(name, str) or not name.strip() or not 0 <= int(start or 0) < int(end or 0):
        raise BrokenRow(f"column {column!r} holds what is no span with start, end and label.", hint=_SPANS_HINT)
    return {"start": start, "end": end, "label": as_text(name, column)}


def _in_order(spans: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    spans = sorted(spans, key=lambda span: int(span["start"]))
    if any(first["end"] > second["start"] for first, second in pairwise(spans)):
        raise BrokenRow(f"column {column!r} holds spans that overlap.", hint=_SPANS_HINT)
    return spans

"""Labels that are sets of classes: lists of numbers or names, or vectors of 0 and 1, one for each class."""

from collections.abc import Mapping, Sequence
from typing import Any

from influence.contracts.dataset import MULTI_LABEL
from influence.errors import BrokenRow, RowsRefused
from influence.rows.label_forms.tags import as_list
from influence.rows.label_forms.vectors import read_vector
from influence.rows.labels import LabelBook
from influence.rows.values import Label

_LISTS, _VECTORS = MULTI_LABEL.label_roles
_LIST_HINT = 'Write a list of classes such as ["billing", "access"], an empty one for a row without any.'
_VECTOR_HINT = "Write one 0 or 1 for each class, in the order of the head's outputs."


class ClassSetBook:
    """Checks sets of classes one by one: all of numbers or all of names, vectors as long as there are classes."""

    def __init__(
        self, given: Sequence[str] | None = None, classes: int | None = None, *, numbered: bool = False
    ) -> None:
        self._book = LabelBook(given, numbered=numbered)
        self._width = classes if given is None else len(given)
        self._read_vectors = False

    def read(self, value: Any, column: str, *, role: str, typed: bool) -> list[Label] | None:
        """Classes in ascending order, none of them twice; None where the row has no label, which is not the empty set.

        A text that holds a JSON list is one, for tables without types know no lists. Raises BrokenRow and RowsRefused
        without a row number.
        """
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        vector = read_vector(value) if role == _VECTORS and isinstance(value, str) else None
        found = vector or as_list(value, column, _VECTOR_HINT if role == _VECTORS else _LIST_HINT)
        # Names are no vector: a test point may have them where the rows have vectors.
        are_names = bool(found) and all(isinstance(item, str) and item.strip() not in ("0", "1") for item in found)
        if role == _VECTORS and not are_names:
            return list(self._read_vector(found, column))
        if found and all(isinstance(item, Mapping | list | tuple) for item in found):
            raise BrokenRow(
                f"column {column!r} holds lists of objects or of lists, which are no classes.",
                hint=f'Spans of a text have a role of their own: columns={{"text": "text", "spans": "{column[:80]}"}}.',
            )
        classes = [self._book.read(item, column, role=role, typed=True) for item in found]
        known = [label for label in classes if label is not None]
        if len(known) < len(classes) or len(set(known)) < len(known):
            raise BrokenRow(f"column {column!r} holds a class twice or an empty one.", hint=_LIST_HINT)
        if len({type(label) for label in known}) > 1:
            raise BrokenRow(f"column {column!r} holds class numbers and names in one list.", hint=_LIST_HINT)
        return sorted(known, key=lambda label: (isinstance(label, str), label))

    def check(self, label: list[Label]) -> None:
        """Raise LabelOutOfRange or LabelUnknown where one of the classes does not go with the names given."""
        for one in label:
            self._book.check(one)

    def add(self, label: list[Label], name: object) -> None:
        """Take up one row's classes. Raises RowsRefused where rows before have names and this one numbers."""
        for one in label:
            self._book.add(one, None)

    def names(self) -> tuple[str, ...] | None:
        """The names given."""
        return self._book.given

    def facts(self) -> dict[str, int]:
        """How many classes there are, where vectors say so."""
        return {"label_vector": self._width} if self._read_vectors and self._width is not None else {}

    def _read_vector(self, vector: Sequence[Any], column: str) -> list[int]:
        if any(item not in (0, 1) or isinstance(item, str) for item in vector):
            raise BrokenRow(
                f"column {column!r} holds more than 0 and 1.",
                hint=f'{_VECTOR_HINT} For lists of classes: columns={{"{_LISTS}": "{column[:80]}"}}.',
            )
        if self._width is not None and len(vector) != self._width:
            raise RowsRefused(
                f"the label has {len(vector)} places, and there are {self._width} classes.", hint=_VECTOR_HINT
            )
        self._read_vectors, self._width = True, len(vector)
        return [place for place, item in enumerate(vector) if item]

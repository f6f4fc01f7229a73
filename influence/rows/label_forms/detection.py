"""What kind of label a column holds: its role says so, or else its values do."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from influence.contracts.dataset import CLASSIFICATION, MULTI_LABEL, REGRESSION, ROW_FORMS
from influence.errors import ColumnsAmbiguous
from influence.rows.columns import ColumnMap
from influence.rows.label_forms.numbers import NUMBER
from influence.rows.label_forms.written_lists import read_list

(_CLASS,), (_SCORE,), (_CLASSES, _VECTOR) = (form.label_roles for form in (CLASSIFICATION, REGRESSION, MULTI_LABEL))
#: Two lengths are enough to tell lists from vectors.
_LENGTHS = 2
_KINDS = {role: form.name for form in ROW_FORMS.values() for role in form.label_roles}


def settle_kind(
    chosen: ColumnMap, rows: Iterable[Mapping[str, Any]], *, typed: bool, is_named: bool = False
) -> ColumnMap:
    """The columns with the kind of rows that the values of `label` make; as they are where another role says it.

    `is_named`: the caller named that role, so that lists of one class each are that class. `rows` are all of them,
    read only as far as it takes; `typed` is False where every value is a string (CSV). Raises ColumnsAmbiguous for
    lists of numbers that may be probabilities of classes.
    """
    if chosen.kind != CLASSIFICATION.name:
        return chosen
    column = chosen.columns[_CLASS]
    values = _Values()
    for row in rows:
        if (value := _read(row.get(column), typed)) is not None:
            values.add(value)
        if values.are_classes:
            return chosen
    role = values.role()
    if role == _CLASS or (is_named and role == _CLASSES and values.are_alone):
        return chosen
    if values.may_be_soft:
        raise _soft_labels(column)
    columns = {role if name == _CLASS else name: found for name, found in chosen.columns.items()}
    return replace(chosen, kind=_KINDS[role], columns=columns, label_name=None)


def _soft_labels(column: str) -> ColumnsAmbiguous:
    return ColumnsAmbiguous(
        f"Column {column[:80]!r} holds lists of numbers from 0 to 1, which may be probabilities of classes (soft "
        "labels): no loss on such labels is scored.",
        hint="Give each row the class that counted, as a number or a name. Where the model predicts these very numbers "
        f'with the squared error, say so: columns={{"{_SCORE}": "{column[:80]}"}}.',
        extra={"column": column},
    )


class _Values:
    """What all values of a column have in common, at a size that does not grow with them."""

    def __init__(self) -> None:
        self._are_lists = self._are_single = self._are_numbers = self._are_bits = True
        self._is_empty, self._has_fraction = True, False
        self._are_chances = True
        self._lengths: set[int] = set()

    def add(self, value: Any) -> None:
        """Take up one value that is there."""
        is_list = isinstance(value, list | tuple)
        self._are_lists &= is_list
        self._are_single &= not is_list
        if is_list and len(self._lengths) < _LENGTHS:
            self._lengths.add(len(value))
        for item in value if is_list else [value]:
            is_number = isinstance(item, int | float) and not isinstance(item, bool)
            self._is_empty = False
            self._are_numbers &= is_number
            self._are_bits &= not isinstance(item, str) and item in (0, 1)
            self._has_fraction |= is_number and bool(item % 1)
            self._are_chances &= is_number and 0 <= item <= 1

    @property
    def may_be_soft(self) -> bool:
        """Whether these may be the probabilities of two or more classes, and not just ones and zeros."""
        is_list = self._are_lists and max(self._lengths, default=0) > 1
        return is_list and self._are_chances and self._has_fraction

    @property
    def are_classes(self) -> bool:
        """Whether no later value can make them anything else."""
        return not self._are_numbers and not self._are_lists

    @property
    def are_alone(self) -> bool:
        """Whether these are lists of one class each."""
        return self._are_lists and self._lengths == {1}

    def role(self) -> str:
        """Numbers with a fraction among them are no classes. Lists of one length of nothing but 0 and 1 are vectors."""
        if not self._is_empty and self._are_numbers and self._has_fraction:
            return _SCORE
        if not self._are_lists or self._are_single:
            return _CLASS
        is_vector = self._are_bits and len(self._lengths) == 1 and self._lengths.isdisjoint({0, 1})
        return _VECTOR if is_vector else _CLASSES


def _read(value: Any, typed: bool) -> Any:
    """A value as JSON would have it."""
    if isinstance(value, str) and not typed:
        text = value.strip()
        if NUMBER.fullmatch(text):
            return float(text)
        if text.startswith("["):
            written = read_list(text)
            return value if written is None else written
    return None if isinstance(value, float) and value != value else value

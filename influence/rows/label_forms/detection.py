"""What kind of label a column holds: its role says so, or else its first values do."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from influence.contracts.dataset import CLASSIFICATION, MULTI_LABEL, REGRESSION, ROW_FORMS
from influence.rows.columns import ColumnMap
from influence.rows.label_forms.numbers import NUMBER

#: Rows that are looked at, at most.
SAMPLE_ROWS = 32
(_CLASS,), (_SCORE,), (_CLASSES, _VECTOR) = (form.label_roles for form in (CLASSIFICATION, REGRESSION, MULTI_LABEL))
_KINDS = {role: form.name for form in ROW_FORMS.values() for role in form.label_roles}


def settle_kind(chosen: ColumnMap, sample: Iterable[Mapping[str, Any]], *, typed: bool) -> ColumnMap:
    """The columns with the kind of rows that the values of `label` make; as they are where another role says it.

    `sample` are the first rows, `typed` is False where every value is a string (CSV).
    """
    if chosen.kind != CLASSIFICATION.name:
        return chosen
    column = chosen.columns[_CLASS]
    role = _role_of([value for row in sample if (value := _read(row.get(column), typed)) is not None])
    if role == _CLASS:
        return chosen
    columns = {role if name == _CLASS else name: found for name, found in chosen.columns.items()}
    return replace(chosen, kind=_KINDS[role], columns=columns, label_name=None)


def _role_of(values: Sequence[Any]) -> str:
    """Numbers with a fraction among them are no classes. Lists of equal length of nothing but 0 and 1 are vectors."""
    lists = [value for value in values if isinstance(value, list | tuple)]
    flat = [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    are_numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in flat)
    if flat and are_numbers and any(item % 1 for item in flat):
        return _SCORE
    if not lists or len(lists) < len(values):
        return _CLASS
    lengths = {len(found) for found in lists}
    are_bits = all(item in (0, 1) and not isinstance(item, str) for item in flat)
    return _VECTOR if are_bits and len(lengths) == 1 and lengths.isdisjoint({0, 1}) else _CLASSES


def _read(value: Any, typed: bool) -> Any:
    """A value as JSON would have it."""
    if isinstance(value, str) and not typed:
        text = value.strip()
        if NUMBER.fullmatch(text):
            return float(text)
        if text.startswith("["):
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                return value
    return None if isinstance(value, float) and value != value else value

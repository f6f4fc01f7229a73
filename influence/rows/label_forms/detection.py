"""What kind of label a column holds: its role says so, or else its first values do."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from influence.contracts.dataset import CLASSIFICATION, REGRESSION, RowForm
from influence.rows.columns import ColumnMap
from influence.rows.label_forms.numbers import NUMBER

#: Rows that are looked at, at most.
SAMPLE_ROWS = 32


def settle_kind(chosen: ColumnMap, sample: Iterable[Mapping[str, Any]], *, typed: bool) -> ColumnMap:
    """The columns with the kind of rows that the values of `label` make; as they are where another role says it.

    `sample` are the first rows, `typed` is False where every value is a string (CSV).
    """
    assert CLASSIFICATION.label is not None
    role = CLASSIFICATION.label.role
    if role not in chosen.columns:
        return chosen
    column = chosen.columns[role]
    values = [_read(row.get(column), typed) for row in sample]
    form = _form_of([value for value in values if value is not None])
    if form.label is None or form.label.role == role:
        return chosen
    columns = {form.label.role if name == role else name: found for name, found in chosen.columns.items()}
    return replace(chosen, kind=form.name, columns=columns, label_name=None)


def _form_of(values: list[Any]) -> RowForm:
    """Numbers with a fraction among them are no classes."""
    flat = [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    are_numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in flat)
    return REGRESSION if are_numbers and any(item % 1 for item in flat) else CLASSIFICATION


def _read(value: Any, typed: bool) -> Any:
    """A value as JSON would have it."""
    if isinstance(value, str) and not typed and NUMBER.fullmatch(value.strip()):
        return float(value)
    return None if isinstance(value, float) and value != value else value

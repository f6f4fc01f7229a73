"""Tables of a report as text cells, with every interval in the cell of its value."""

from collections.abc import Sequence

from influence.contracts.evaluation.report import Cell, Table
from influence.reporting.numbers import cell_text, interval_text

LOW, HIGH = " low", " high"


def text_table(table: Table) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) as text; columns `x low` and `x high` right behind `x` become part of `x`."""
    places = [place for place, _ in enumerate(table.columns) if not _is_end(table.columns, place)]
    columns = [table.columns[place] for place in places]
    return columns, [[_text(table.columns, row, place) for place in places] for row in table.rows]


def is_number_column(table: Table, name: str) -> bool:
    """Whether a column holds numbers (or nothing) only, so that it is set to the right."""
    place = table.columns.index(name)
    return all(row[place] is None or isinstance(row[place], int | float) for row in table.rows)


def _has_interval(columns: Sequence[str], place: int) -> bool:
    name = columns[place]
    return tuple(columns[place + 1 : place + 3]) == (name + LOW, name + HIGH)


def _is_end(columns: Sequence[str], place: int) -> bool:
    return any(start >= 0 and _has_interval(columns, start) for start in (place - 1, place - 2))


def _text(columns: Sequence[str], row: Sequence[Cell], place: int) -> str:
    value, ends = row[place], row[place + 1 : place + 3]
    if _has_interval(columns, place) and all(isinstance(number, int | float) for number in (value, *ends)):
        return interval_text(*(float(number) for number in (value, *ends)))  # type: ignore[arg-type]
    return cell_text(value)

"""Rows by conditions and words, and columns in order: DuckDB over a table that is mapped, never copied."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb import ColumnExpression, ConstantExpression, Expression, FunctionExpression
from numpy.typing import NDArray

from influence.contracts.curation.conditions import Condition, RowSearch, Scalar
from influence.errors import InvalidRequest
from influence.store.data.search.building import ROW_INDEX, WORDS
from influence.store.data.search.columns import SearchColumn, SearchColumns, as_cell
from influence.store.data.search.words import phrases_of

RowIndexes = NDArray[np.int64]

#: Searches and orders that are remembered per table, so that turning a page repeats none: 4 to 8 bytes per row each.
_REMEMBERED = 8
#: Nothing outside the tables at hand can be read or written, whatever a request says.
_SETTINGS = {"enable_external_access": "false", "threads": "2", "memory_limit": "1GB"}


class RowTable:
    """The rows of one data set. Safe for several threads."""

    def __init__(self, columns: SearchColumns, table: pa.Table) -> None:
        self.columns = columns
        self.rows = table.num_rows
        self._table = table
        self._engine = duckdb.connect(config=_SETTINGS)
        self.find = lru_cache(_REMEMBERED)(self._find)
        self.ranks = lru_cache(_REMEMBERED)(self._ranks)

    def _find(self, search: RowSearch) -> RowIndexes:
        """Indexes of the rows that fit, ascending, read-only.

        Raises InvalidRequest for a column that is not there and a condition that its values do not know.
        """
        wanted = [self._condition(one) for one in search.where or ()]
        wanted += [_contains(ColumnExpression(WORDS), phrase) for phrase in phrases_of(search.q or "")]
        relation = self._relation()
        for expression in wanted:
            relation = relation.filter(expression)
        return _frozen(np.sort(relation.project(ROW_INDEX).fetchnumpy()[ROW_INDEX]).astype(np.int64))

    def mask(self, search: RowSearch) -> NDArray[np.bool_]:
        """Whether each row fits, (rows,). Raises as `find`."""
        fits = np.zeros(self.rows, dtype=np.bool_)
        fits[self.find(search)] = True
        return fits

    def _ranks(self, name: str) -> NDArray[np.int32]:
        """Each row's place in the order of a column, (rows,), from 1; equal values share one, and a row without a
        value has 0. Read-only. Raises InvalidRequest for a column that is not there."""
        field = self.columns.require(name).field
        relation = self._relation().filter(ColumnExpression(field).isnotnull())
        found = relation.project(f"{ROW_INDEX}, dense_rank() over (order by {field}) as place").fetchnumpy()
        ranks = np.zeros(self.rows, dtype=np.int32)
        ranks[found[ROW_INDEX]] = found["place"]
        return _frozen(ranks)

    def count_values(self, name: str, rows: RowIndexes) -> dict[str, int] | None:
        """How often some rows have each value of a column, the most frequent first; None where there is no column."""
        column = self.columns.find(name)
        if column is None:
            return None
        ranks = self.ranks(name)
        counts = np.bincount(ranks[rows])
        example = np.empty(len(counts), dtype=np.int64)
        example[ranks[rows]] = rows
        held = [at for at in np.argsort(-counts, kind="stable") if at and counts[at]]
        values = self._table[column.field].take(pa.array(example[held])).to_pylist()
        return {_spell(value): int(counts[at]) for at, value in zip(held, values, strict=True)}

    def _relation(self) -> Any:
        return self._engine.cursor().from_arrow(self._table)

    def _condition(self, condition: Condition) -> Expression:
        column = self.columns.require(condition.column)
        held = ColumnExpression(column.field)
        if condition.op == "is_null":
            return held.isnotnull() if condition.value is False else held.isnull()
        _check_operator(column, condition)
        if condition.op == "contains":
            return _contains(FunctionExpression("lower", held), str(condition.value).lower())
        return _compare(held, condition, [_constant(column, value) for value in _values(condition)])


def _compare(held: Expression, condition: Condition, constants: Sequence[Expression]) -> Expression:
    if condition.op == "in":
        return held.isin(*constants)
    (constant,) = constants
    if condition.op == "ne":
        return held.isnull() | (held != constant)
    if condition.op == "eq":
        return held == constant
    return held > constant if condition.op == "gt" else held < constant


def _contains(held: Expression, text: str) -> Expression:
    return FunctionExpression("contains", held, ConstantExpression(text))


def _values(condition: Condition) -> Sequence[Scalar]:
    if isinstance(condition.value, tuple):
        return condition.value
    assert condition.value is not None
    return (condition.value,)


def _check_operator(column: SearchColumn, condition: Condition) -> None:
    fitting = {
        "string": ("eq", "ne", "in", "gt", "lt", "contains"),
        "number": ("eq", "ne", "in", "gt", "lt"),
        "time": ("eq", "ne", "in", "gt", "lt"),
        "boolean": ("eq", "ne", "in"),
        "json": ("eq", "ne", "in", "contains"),
    }[column.type]
    if condition.op not in fitting:
        raise InvalidRequest(
            f"'{condition.op}' is not for the column '{column.name[:80]}' of type {column.type}.",
            hint=f"Use one of {', '.join(fitting)} or is_null.",
        )


def _constant(column: SearchColumn, value: Scalar) -> Expression:
    """A value of a request as the column's values are. Raises InvalidRequest where it cannot be one."""
    cell: str | float | bool | datetime | None = as_cell(value, column.type)
    if column.type == "string" and not isinstance(value, str):
        cell = str(value) if not isinstance(value, bool) else None
    if cell is None:
        raise InvalidRequest(
            f"{str(value)[:80]!r} is no value of the column '{column.name[:80]}', which is of type {column.type}.",
            hint="Times are written as 2026-01-31 or 2026-01-31T12:00:00Z." if column.type == "time" else None,
        )
    return ConstantExpression(cell)


def _spell(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array

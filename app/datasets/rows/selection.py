"""Which rows, in which order: those of a data set, or those of an audit with its figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from influence.auditing.figures import figure, fits_condition, is_figure, list_figures
from influence.auditing.signals import Columns
from influence.contracts.curation.conditions import Condition, RowSearch
from influence.contracts.dataset import Dataset
from influence.errors import InvalidRequest
from influence.store.data.search.ordering import Positions, rank_slice, sort_slice

if TYPE_CHECKING:
    from influence.store.data.search.table import RowTable

#: The column of a review's decisions.
ACTION = "action"


def no_classes(name: str) -> int:
    """The class of a name, where nothing has classes. Raises InvalidRequest."""
    raise InvalidRequest(f"There is no label '{name[:80]}'.")


@dataclass(frozen=True)
class RowSet:
    """The rows that a caller may choose from; a position is a place among them.

    `figures` are columns (n,) of an audit or of scores, `row_index` among them where they are not of all rows.
    `actions` are what a review has decided, by row. The table of the data set is opened when it is needed.
    """

    dataset: Dataset
    open_table: Callable[[], "RowTable"]
    figures: Columns = field(default_factory=dict)
    class_of: Callable[[str], int] = no_classes
    actions: Mapping[int, str] | None = None

    @cached_property
    def row_indexes(self) -> Positions:
        """The row at each position (n,)."""
        given = self.figures.get("row_index")
        return np.arange(self.dataset.rows) if given is None else np.asarray(given, dtype=np.int64)

    def find(self, search: RowSearch) -> Positions:
        """Positions of the rows that fit, ascending.

        Raises InvalidRequest for a column that is not there and for a condition that is not for its values.
        """
        fits = np.ones(len(self.row_indexes), dtype=np.bool_)
        rest = []
        for condition in search.where or ():
            if condition.column == ACTION and self.actions is not None:
                fits &= self._fit_action(condition, self.actions)
            elif is_figure(condition.column, self.figures):
                fits &= fits_condition(condition, self.figures, self.class_of)
            else:
                rest.append(condition)
        for condition in rest:
            self._require(condition.column)
        if rest or search.q is not None:
            asked = RowSearch(where=tuple(rest) or None, q=search.q)
            fits &= self.open_table().mask(asked)[self.row_indexes]
        return np.flatnonzero(fits)

    def page(self, positions: Positions, sort: str | None, *, descending: bool, offset: int, length: int) -> Positions:
        """Positions offset .. offset + length of those given, in the order of a column, or in row order.

        Raises InvalidRequest for a column that is not there.
        """
        bounds = {"offset": offset, "length": length}
        if sort is None or (sort == "row_index" and not is_figure(sort, self.figures)):
            ordered = positions[::-1] if sort and descending else positions
            return ordered[offset : offset + length]
        if is_figure(sort, self.figures):
            return sort_slice(figure(sort, self.figures), positions, descending=descending, **bounds)
        self._require(sort)
        ranks = self.open_table().ranks(sort)[self.row_indexes]
        return rank_slice(ranks, positions, descending=descending, **bounds)

    def _require(self, name: str) -> None:
        """Raise InvalidRequest for a column that neither the rows nor an audit's figures have, with those that are."""
        columns = self.open_table().columns
        if columns.find(name) is None:
            known = [*list_figures(self.figures), *([] if self.actions is None else [ACTION]), *columns.fields]
            columns.refuse(name, [*dict.fromkeys(known), *columns.metadata])

    def _fit_action(self, condition: Condition, actions: Mapping[int, str]) -> NDArray[np.bool_]:
        decided = np.full(self.dataset.rows, "", dtype="U8")
        if actions:
            decided[list(actions)] = list(actions.values())
        held = decided[self.row_indexes]
        if condition.op == "is_null":
            undecided: NDArray[np.bool_] = held == ""
            return ~undecided if condition.value is False else undecided
        given = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        if condition.op not in ("eq", "ne", "in"):
            raise InvalidRequest(f"'{condition.op}' is not for '{ACTION}'.", hint="Use eq, ne, in or is_null.")
        chosen = np.isin(held, np.asarray([str(one) for one in given]))
        return ~chosen if condition.op == "ne" else chosen

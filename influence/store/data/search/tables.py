"""The tables of the data sets that were searched last."""

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from influence.contracts.dataset import Dataset
from influence.store.data.files import Files

if TYPE_CHECKING:
    from influence.store.data.search.table import RowTable

#: Tables whose searches are remembered. What is mapped of them belongs to the system's cache.
_KEPT = 4


@dataclass
class _Place:
    """A table, or the lock under which it is being made."""

    lock: Lock = field(default_factory=Lock)
    table: "RowTable | None" = None


class RowTables:
    """Opens each table once, and makes it where it is not there yet."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = Lock()
        self._places: OrderedDict[str, _Place] = OrderedDict()

    def open(self, dataset: Dataset) -> "RowTable":
        """The table of a data set. Raises NotFound where its rows are gone."""
        # Loading the engine (pyarrow, DuckDB) takes longer than the API may take to start.
        from influence.store.data.search.building import open_table
        from influence.store.data.search.table import RowTable

        place = self._place(dataset.id)
        with place.lock:
            if place.table is None:
                place.table = RowTable(*open_table(self._files, dataset))
            return place.table

    def forget(self, dataset_id: str) -> None:
        """Let go of the table of a data set that was deleted."""
        with self._lock:
            self._places.pop(dataset_id, None)

    def _place(self, dataset_id: str) -> _Place:
        with self._lock:
            place = self._places.setdefault(dataset_id, _Place())
            self._places.move_to_end(dataset_id)
            while len(self._places) > _KEPT:
                self._places.popitem(last=False)
            return place

"""Rows of a data set, page by page: all of them, or those that fit."""

from app.datasets.rows.parameters import SearchParameters
from app.datasets.rows.selection import RowSet
from app.http.context import Context
from app.http.pagination import Bounds
from influence.contracts.dataset import Dataset, DatasetRow, RowPage
from influence.rows.file import RowFile
from influence.store.data.search.ordering import Positions


def dataset_rows(context: Context, dataset: Dataset) -> RowSet:
    """The rows of a data set, to choose from by what they hold."""
    return RowSet(dataset, lambda: context.tables.open(dataset))


def read_page(context: Context, dataset: Dataset, parameters: SearchParameters, bounds: Bounds) -> RowPage:
    """One page. Raises NotFound, and InvalidRequest for a column that is not there."""
    rows = dataset_rows(context, dataset)
    positions = rows.find(parameters.search)
    shown = rows.page(
        positions,
        parameters.sort,
        descending=parameters.order == "desc",
        offset=bounds.offset,
        length=bounds.length,
    )
    data = read_rows(context, dataset.id, shown)
    return RowPage(data=data, **bounds.beyond(len(data), len(positions)), rows=len(positions))


def read_rows(context: Context, dataset_id: str, shown: Positions) -> list[DatasetRow]:
    """Rows of a data set at positions, in their order. Raises NotFound."""
    with RowFile(context.files.dataset(dataset_id)) as file:
        found = file.read_many(shown)
    return [
        DatasetRow(row_index=int(index), row_id=str(row.pop("id")), metadata=row.pop("metadata", None), row=row)
        for index, row in zip(shown, found, strict=True)
    ]

"""A data set handed over as it is: the rows that fit, in its own columns and labels."""

from collections.abc import Iterator

from app.datasets.rows.forms import ChosenRow, stream_table
from app.datasets.rows.page import dataset_rows
from app.http.context import Context
from influence.contracts.curation.conditions import RowSearch
from influence.contracts.dataset import Dataset
from influence.rows.file import RowFile


def stream_export(context: Context, dataset: Dataset, form: str, search: RowSearch) -> Iterator[bytes]:
    """The file in pieces.

    Raises NotFound, InvalidRequest (of the search) and Internal (rows that are gone or damaged) before the first byte.
    """
    indexes = dataset_rows(context, dataset).find(search).tolist() if search.asks else range(dataset.rows)
    file = RowFile(context.files.dataset(dataset.id))

    def chosen() -> Iterator[ChosenRow]:
        with file:
            for row_index in indexes:
                (row,) = file.read_many([row_index])
                yield row_index, row, None

    return stream_table(dataset, chosen(), file.read(0, 1)[0], form, context.files.images)

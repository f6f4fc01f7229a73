"""What work on rows takes beside the gradients of an index's rows, by which times are foreseen."""

from collections.abc import Sequence

from influence.contracts.index import Index
from influence.rows.file import RowFile
from workers.runtime.models import HotModel

#: A forward pass over a row's gradient.
FORWARD_SHARE = 0.45
#: Rows that say how long all are.
_MEASURED_ROWS = 32


def relative_length(index: Index, model: HotModel, file: RowFile, rows: Sequence[int]) -> float:
    """Tokens of some of the `rows` of a file over those of a row of the index, 1 where the index does not know.

    Raises RowsRefused for a row that the task cannot read.
    """
    tokens = (index.timings or {}).get("tokens_per_row")
    some = list(rows[:: max(1, len(rows) // _MEASURED_ROWS)][:_MEASURED_ROWS])
    if not tokens or not some:
        return 1.0
    encoded = model.task.tokenise(file.read_many(some))
    return max(1, sum(row.length for row in encoded)) / len(encoded) / tokens

"""A review handed over: its rows as a file, in the data set's own columns and labels."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.datasets.rows.forms import TABLES, ChosenRow, ExportForm, stream_table
from app.http.context import Context
from app.http.media_types import JSON_MEDIA_TYPE, ZIP_MEDIA_TYPE
from app.reviews.argilla import stream_folder
from app.reviews.label_studio import label_config, stream_tasks
from app.reviews.rows import find_rows
from influence.contracts.curation.conditions import RowSearch
from influence.contracts.curation.review import Decision, ExportMode, Review
from influence.contracts.dataset import ROW_FORMS
from influence.errors import InvalidRequest
from influence.rows.file import RowFile

FORMS: dict[str, ExportForm] = {
    **TABLES,
    "label-studio": ExportForm(JSON_MEDIA_TYPE, "json"),
    "label-studio-config": ExportForm("application/xml", "xml"),
    "argilla": ExportForm(ZIP_MEDIA_TYPE, "zip"),
}


def stream_export(context: Context, review: Review, form: str, mode: ExportMode, search: RowSearch) -> Iterator[bytes]:
    """The file in pieces, of the rows that fit.

    Raises NotFound, InvalidRequest (of the search or the form) and Internal (rows that are gone or damaged) before the
    first byte.
    """
    dataset = context.store.datasets.require(review.dataset_id)
    if ROW_FORMS[dataset.kind].has_image and form not in TABLES:
        raise InvalidRequest(
            f"Label Studio and Argilla show images by their address, and those of {dataset.id} have none.",
            hint="Export 'parquet', which holds the images; or decide in the review itself.",
        )
    if form == "label-studio-config":
        return iter([label_config(dataset).encode()])
    decisions = {one.row_index: one for one in context.store.review_data.scan(review.id)}
    indexes = find_rows(context, review, search) if search.asks else range(dataset.rows)
    file = RowFile(context.files.dataset(dataset.id))
    chosen = _rows(file, indexes, decisions, mode)
    if form == "label-studio":
        return stream_tasks(dataset, chosen)
    if form == "argilla":
        return stream_folder(review, dataset, chosen)
    first, images = file.read(0, 1)[0], context.files.images
    return stream_table(dataset, chosen, first, form, images, with_decision=mode == "annotated")


def _rows(file: RowFile, indexes: Any, decisions: Mapping[int, Decision], mode: ExportMode) -> Iterator[ChosenRow]:
    with file:
        for row_index in map(int, indexes):
            decision = decisions.get(row_index)
            is_removed = decision is not None and decision.action == "remove"
            if mode == "annotated" or is_removed == (mode == "removed"):
                (row,) = file.read_many([row_index])
                yield row_index, row, decision

"""The forms that rows go out in as tables."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from app.datasets.rows.cells import cell_types, column_of, flat_cells
from app.http.media_types import CSV_MEDIA_TYPE, JSONL_MEDIA_TYPE, PARQUET_MEDIA_TYPE
from app.http.table_stream import stream_rows
from influence.contracts.common import Json
from influence.contracts.curation.review import Decision
from influence.contracts.dataset import ROW_FORMS, Dataset
from influence.rows.images.store import IMAGE_SUFFIX, ImageStore


@dataclass(frozen=True)
class ExportForm:
    """A form that rows go out in."""

    media_type: str
    suffix: str


TABLES: dict[str, ExportForm] = {
    "jsonl": ExportForm(JSONL_MEDIA_TYPE, "jsonl"),
    "csv": ExportForm(CSV_MEDIA_TYPE, "csv"),
    "parquet": ExportForm(PARQUET_MEDIA_TYPE, "parquet"),
    "huggingface": ExportForm(PARQUET_MEDIA_TYPE, "parquet"),
}
#: What `datasets` calls what a column holds.
_FEATURES: dict[type, str] = {str: "string", int: "int64", float: "float64", bool: "bool"}

ChosenRow = tuple[int, Json, Decision | None]


def stream_table(
    dataset: Dataset,
    rows: Iterable[ChosenRow],
    first: Json,
    form: str,
    images: ImageStore,
    *,
    with_decision: bool = False,
) -> Iterator[bytes]:
    """Rows as pieces of a file, most of it not yet made; `first` is any row of the data set.

    Parquet carries the rows' `images`; other forms name them.
    """
    types = cell_types(dataset, first, with_decision=with_decision)
    cells = (flat_cells(dataset, at, row, decision, with_decision=with_decision) for at, row, decision in rows)
    if ROW_FORMS[dataset.kind].has_image and TABLES[form].media_type == PARQUET_MEDIA_TYPE:
        picture = column_of(dataset, "image")
        types[picture] = bytes
        cells = ({**one, picture: _image_file(images, one[picture])} for one in cells)
    if form != "huggingface":
        held: dict[str, type] = {name: kind for name, kind in types.items() if kind is bytes}
        return stream_rows(cells, TABLES[form].media_type, types, _features(held) if held else None)
    names, column = class_names(dataset), column_of(dataset, "label")
    if not names or "label" not in first:
        return stream_rows(cells, PARQUET_MEDIA_TYPE, types, _features(types))
    types = {name: kind for name, kind in types.items() if name != "label_name"} | {column: int}
    places = {name: place for place, name in enumerate(names)}
    numbered = ({**one, column: places.get(str(one.get(column)), one.get(column))} for one in cells)
    return stream_rows(numbered, PARQUET_MEDIA_TYPE, types, _features(types, column, names))


def _image_file(images: ImageStore, name: str) -> Json:
    """An image as the `datasets` library keeps it in a table."""
    return {"bytes": images.path(name.removesuffix(IMAGE_SUFFIX)).read_bytes(), "path": name}


def class_names(dataset: Dataset) -> tuple[str, ...]:
    """Names of the classes in their order; none where labels are no single class, or are numbers without names."""
    if ROW_FORMS[dataset.kind].label != "class":
        return ()
    seen = tuple(map(str, dataset.statistics.get("labels", {})))
    return dataset.label_names or (() if all(name.isdigit() for name in seen) else tuple(sorted(seen)))


def _features(types: dict[str, type], column: str | None = None, names: tuple[str, ...] = ()) -> dict[str, str]:
    """The note in a Parquet file by which `datasets` knows features: https://huggingface.co/docs/datasets."""
    features: dict[str, Any] = {
        name: {"_type": "Image"} if kind is bytes else {"dtype": _FEATURES[kind], "_type": "Value"}
        for name, kind in types.items()
    }
    if column is not None:
        features[column] = {"names": list(names), "_type": "ClassLabel"}
    return {"huggingface": json.dumps({"info": {"features": features}})}

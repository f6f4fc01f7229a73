"""A review handed over: its rows as a file, in the data set's own columns and labels."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.http.media_types import CSV_MEDIA_TYPE, JSON_MEDIA_TYPE, JSONL_MEDIA_TYPE, PARQUET_MEDIA_TYPE
from app.http.table_stream import stream_rows
from app.reviews.label_studio import label_config, stream_tasks
from influence.contracts.common import Json
from influence.contracts.dataset import ROW_FORMS, Dataset, MetadataType
from influence.contracts.review import Decision, ExportMode, Review
from influence.rows.file import RowFile
from influence.store.data.files import Files
from influence.store.store import Store

_METADATA_TYPES: dict[MetadataType, type] = {"number": float, "boolean": bool}
#: What a decision adds to a row of mode `annotated`; `import` reads the same columns.
_DECISION_TYPES: dict[str, type] = {"action": str, "reviewed_label": str, "note": str, "by": str, "decided_at": str}


@dataclass(frozen=True)
class ExportForm:
    """A form that a review goes out in."""

    media_type: str
    suffix: str


FORMS: dict[str, ExportForm] = {
    "jsonl": ExportForm(JSONL_MEDIA_TYPE, "jsonl"),
    "csv": ExportForm(CSV_MEDIA_TYPE, "csv"),
    "parquet": ExportForm(PARQUET_MEDIA_TYPE, "parquet"),
    "label-studio": ExportForm(JSON_MEDIA_TYPE, "json"),
    "label-studio-config": ExportForm("application/xml", "xml"),
}


def stream_export(store: Store, files: Files, review: Review, form: str, mode: ExportMode) -> Iterator[bytes]:
    """The file in pieces. Raises NotFound and Internal (rows that are gone or damaged) before the first byte."""
    dataset = store.datasets.require(review.dataset_id)
    if form == "label-studio-config":
        return iter([label_config(dataset).encode()])
    decisions = {one.row_index: one for one in store.review_data.scan(review.id)}
    file = RowFile(files.dataset(dataset.id))
    chosen = _rows(file, decisions, mode)
    if form == "label-studio":
        return stream_tasks(dataset, chosen)
    with_decision = mode == "annotated"
    cells = (_cells(dataset, row_index, row, decision, with_decision) for row_index, row, decision in chosen)
    return stream_rows(cells, FORMS[form].media_type, _types(dataset, file.read(0, 1)[0], with_decision))


def _rows(
    file: RowFile, decisions: Mapping[int, Decision], mode: ExportMode
) -> Iterator[tuple[int, dict[str, Any], Decision | None]]:
    with file:
        for row_index, row in enumerate(file):
            decision = decisions.get(row_index)
            is_removed = decision is not None and decision.action == "remove"
            if mode == "annotated" or is_removed == (mode == "removed"):
                yield row_index, row, decision


def _cells(dataset: Dataset, row_index: int, row: Json, decision: Decision | None, with_decision: bool) -> Json:
    """One row under the data set's own column names. A cleaned row carries its new label."""
    given = row.get("label")
    is_relabelled = decision is not None and decision.action == "relabel"
    label = decision.label if decision is not None and is_relabelled and not with_decision else given
    cells: Json = {"row_index": row_index}
    metadata = row.get("metadata") or {}
    for name, value in {**_content(row), **({} if given is None else {"label": label})}.items():
        cells[_column_of(dataset, name)] = _cell(value)
    for name in (name for name in dataset.metadata_columns if name not in cells):
        cells[name] = _metadata_cell(metadata.get(name), dataset.metadata_columns[name])
    if dataset.label_names and isinstance(label, int):
        cells["label_name"] = dataset.label_names[label]
    if with_decision:
        cells |= _decision_cells(decision)
    return cells


def _column_of(dataset: Dataset, name: str) -> str:
    """The data set's own column of a field of a row; a label's goes by the role that says what it is."""
    roles = ROW_FORMS[dataset.kind].label_roles if name == "label" else ()
    return next((dataset.columns[role] for role in (name, *roles) if role in dataset.columns), name)


def _decision_cells(decision: Decision | None) -> Json:
    if decision is None:
        return dict.fromkeys(_DECISION_TYPES)
    return {
        "action": decision.action,
        "reviewed_label": None if decision.label is None else str(decision.label),
        "note": decision.note,
        "by": decision.by,
        "decided_at": decision.at.isoformat(),
    }


def _types(dataset: Dataset, first: Json, with_decision: bool) -> dict[str, type]:
    types: dict[str, type] = {"row_index": int}
    for name, value in _content(first).items():
        types[_column_of(dataset, name)] = type(value) if isinstance(value, int | float) else str
    # A pair, a class or a label may be missing in the first row and be there in another.
    for role, column in dataset.columns.items():
        if role not in first and role != "id":
            types.setdefault(column, str)
    for name, kind in dataset.metadata_columns.items():
        types.setdefault(name, _METADATA_TYPES.get(kind, str))
    if dataset.label_names and isinstance(first.get("label"), int):
        types["label_name"] = str
    return {**types, **(_DECISION_TYPES if with_decision else {})}


def _content(row: Json) -> Json:
    return {name: value for name, value in row.items() if name != "metadata"}


def _metadata_cell(value: Any, kind: MetadataType) -> Any:
    is_text = value is None or isinstance(value, str)
    return value if is_text or kind in _METADATA_TYPES else json.dumps(value, ensure_ascii=False)


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)

"""Rows as flat cells in the data set's own columns, as files have them."""

import json
from collections.abc import Mapping
from typing import Any

from influence.contracts.common import Json
from influence.contracts.curation.review import Decision
from influence.contracts.dataset import ROW_FORMS, Dataset, MetadataType
from influence.rows.images.store import IMAGE_SUFFIX

_METADATA_TYPES: dict[MetadataType, type] = {"number": float, "boolean": bool}
#: What a decision adds to a row; `import` reads the same columns.
_DECISION_TYPES: dict[str, type] = {"action": str, "reviewed_label": str, "note": str, "by": str, "decided_at": str}


def flat_cells(
    dataset: Dataset, row_index: int, row: Json, decision: Decision | None = None, *, with_decision: bool = False
) -> Json:
    """One row under the data set's own column names: with its new label, or as it was with the decision beside it."""
    given = row.get("label")
    is_relabelled = decision is not None and decision.action == "relabel"
    label = decision.label if decision is not None and is_relabelled and not with_decision else given
    cells: Json = {}
    for name, value in {**_content(row), **({} if given is None else {"label": label})}.items():
        cells[column_of(dataset, name)] = _cell(value)
    for name, value in metadata_cells(dataset, row.get("metadata")).items():
        cells.setdefault(name, value)
    if dataset.label_names and isinstance(label, int):
        cells["label_name"] = dataset.label_names[label]
    made = {"row_index": row_index, **(_decision_cells(decision) if with_decision else {})}
    own = {own_column(name, with_decision=with_decision): value for name, value in cells.items()}
    return {"row_index": row_index, **own, **made}


def own_column(name: str, *, with_decision: bool = False) -> str:
    """A column of the data set's own, under another name where a file has one that is made: `row.note`."""
    return f"row.{name}" if name == "row_index" or (with_decision and name in _DECISION_TYPES) else name


def cell_types(dataset: Dataset, first: Json, *, with_decision: bool = False) -> dict[str, type]:
    """The columns that `flat_cells` makes, and what they hold; `first` is any row."""
    types: dict[str, type] = {}
    for name, value in _content(first).items():
        types[column_of(dataset, name)] = type(value) if isinstance(value, int | float) else str
    # A pair, a class or a label may be missing in the first row and be there in another.
    for role, column in dataset.columns.items():
        if role not in first and role != "id":
            types.setdefault(column, str)
    for name, kind in metadata_types(dataset).items():
        types.setdefault(name, kind)
    if dataset.label_names and isinstance(first.get("label"), int):
        types["label_name"] = str
    own = {own_column(name, with_decision=with_decision): kind for name, kind in types.items()}
    return {"row_index": int, **own, **(_DECISION_TYPES if with_decision else {})}


def metadata_cells(dataset: Dataset, metadata: Mapping[str, Any] | None) -> Json:
    """A row's metadata with a cell for every column; anything nested as JSON text."""
    held = metadata or {}
    return {name: _metadata_cell(held.get(name), kind) for name, kind in dataset.metadata_columns.items()}


def metadata_types(dataset: Dataset) -> dict[str, type]:
    """What the cells of metadata columns hold."""
    return {name: _METADATA_TYPES.get(kind, str) for name, kind in dataset.metadata_columns.items()}


def column_of(dataset: Dataset, name: str) -> str:
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


def _content(row: Json) -> Json:
    return {name: value for name, value in row.items() if name != "metadata"}


def _metadata_cell(value: Any, kind: MetadataType) -> Any:
    is_text = value is None or isinstance(value, str)
    return value if is_text or kind in _METADATA_TYPES else json.dumps(value, ensure_ascii=False)


def _cell(value: Any) -> Any:
    if isinstance(value, dict) and "digest" in value:
        return value["digest"] + IMAGE_SUFFIX
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)

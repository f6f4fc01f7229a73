"""The whole table of an audit as a file: CSV, JSON lines or Parquet."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from app.audits.rows import AuditFilter, audit_rows, describe_rows, find_columns, find_positions
from app.datasets.rows.cells import metadata_cells, metadata_types
from app.http.context import Context
from app.http.media_types import JSON_MEDIA_TYPE, JSONL_MEDIA_TYPE, negotiate
from app.http.table_stream import SUFFIXES, stream_rows
from influence.contracts.audit import Audit
from influence.contracts.common import Json
from influence.contracts.curation.conditions import METADATA_PREFIX
from influence.contracts.dataset import ROW_FORMS, Dataset
from influence.rows.images.store import IMAGE_SUFFIX

#: Other names under which JSON lines are asked for.
_JSONL_NAMES = ("application/x-ndjson", "application/x-jsonlines", JSON_MEDIA_TYPE)

_FIGURES = (
    "suspicion",
    "label",
    "predicted_label",
    "probability",
    "predicted_probability",
    "margin",
    "loss",
    "self_influence",
    "influence",
    "score",
    "direction",
)


def choose_media_type(accept: str) -> str:
    """The form that an Accept header asks for; CSV where it takes any. Raises NotAcceptable."""
    chosen = negotiate(accept, (*SUFFIXES, *_JSONL_NAMES))
    return JSONL_MEDIA_TYPE if chosen in _JSONL_NAMES else chosen


def stream_table(context: Context, audit: Audit, media_type: str, asked: AuditFilter) -> Iterator[bytes]:
    """The rows that fit in row order, most of the table not yet made.

    Raises Conflict, NotFound and InvalidRequest before the first byte.
    """
    columns = find_columns(context, audit)
    rows = audit_rows(context, audit, columns)
    positions = find_positions(audit, rows, asked, asked.search)
    described = describe_rows(context.files, audit, columns, positions)
    # Opens the row file: what is wrong with it is said before the answer begins.
    example = next(describe_rows(context.files, audit, columns, np.arange(1)))
    own = _own_cells(audit, example)
    names = {name: name if name not in own else f"{METADATA_PREFIX}{name}" for name in rows.dataset.metadata_columns}
    cells = ({**_own_cells(audit, row), **_held_cells(rows.dataset, row, names)} for row in described)
    types = {name: type(value) for name, value in own.items()}
    return stream_rows(
        cells, media_type, types | {names[name]: kind for name, kind in metadata_types(rows.dataset).items()}
    )


def _own_cells(audit: Audit, row: Json) -> Json:
    """One row of the table: where it stands, figures that the audit has, its words; lists as JSON text."""
    words = row["row"]
    texts = {name: _flat(value) for name in ROW_FORMS[audit.kind].words if (value := words.get(name)) is not None}
    if ROW_FORMS[audit.kind].has_image:
        texts["image"] = words["image"]["digest"] + IMAGE_SUFFIX
    figures = {name: _flat(row[name]) for name in _FIGURES if name in row}
    return {"row_index": row["row_index"], "row_id": row["row_id"], **figures, **texts}


def _held_cells(dataset: Dataset, row: Json, names: Mapping[str, str]) -> Json:
    return {names[name]: value for name, value in metadata_cells(dataset, row["metadata"]).items()}


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value

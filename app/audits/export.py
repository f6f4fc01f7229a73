"""The whole table of an audit as a file: CSV, JSON lines or Parquet."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from app.audits.rows import describe_rows, find_columns
from app.http.media_types import JSON_MEDIA_TYPE, JSONL_MEDIA_TYPE, negotiate
from app.http.table_stream import SUFFIXES, stream_rows
from influence.contracts.audit import Audit
from influence.contracts.common import Json
from influence.contracts.dataset import ROW_FORMS
from influence.store.data.files import Files
from influence.store.store import Store

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


def stream_table(store: Store, files: Files, audit: Audit, media_type: str) -> Iterator[bytes]:
    """The table in row order, most of it not yet made. Raises Conflict and NotFound before the first byte."""
    columns = find_columns(store, audit)
    rows = describe_rows(files, audit, columns, np.arange(len(columns["suspicion"])))
    first = next(rows)  # opens the row file: what is wrong with it is said before the answer begins
    cells = (flatten_row(audit, row) for row in chain([first], rows))
    return stream_rows(cells, media_type)


def flatten_row(audit: Audit, row: Json) -> Json:
    """One row of the table: where it stands, figures that the audit has, its words; lists as JSON text."""
    words = row["row"]
    texts = {name: _flat(value) for name in ROW_FORMS[audit.kind].words if (value := words.get(name)) is not None}
    figures = {name: _flat(row[name]) for name in _FIGURES if name in row}
    return {"row_index": row["row_index"], "row_id": row["row_id"], **figures, **texts}


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value

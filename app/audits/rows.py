"""Rows of a finished audit: filtered, sorted, page by page."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.http.pagination import Bounds, RowParameters
from influence.auditing.selection import RowFilter, sort_slice
from influence.auditing.signals import Columns, margins, predicted_probabilities
from influence.contracts.audit import Audit, AuditedRow, AuditedRowPage, AuditSort
from influence.contracts.common import Json
from influence.errors import Conflict, InvalidRequest, NotFound
from influence.ranking import direction_of, scores_of
from influence.rows.file import RowFile
from influence.store.data.files import Files
from influence.store.store import Store

_INTEGERS = {"row_index": "int64", "label": "int32", "predicted": "int32"}
#: What a sort needs beside a column of its own name.
_SORT_COLUMNS: dict[str, tuple[str, ...]] = {"score": ("influence",), "margin": ("probability", "other_probability")}
_SHOWN_LABELS = 20
#: Rows that are turned from columns into objects at a time.
_BLOCK_ROWS = 1000


class AuditRowParameters(RowParameters):
    """How the rows of an audit are chosen and ordered; anything else is refused."""

    sort: AuditSort = "suspicion"
    order: Literal["desc", "asc"] = "desc"
    label: str | None = Field(None, description="Only rows with this given label: a name or a class number.")
    predicted: str | None = Field(None, description="Only rows that the model answers so.")
    disagree: bool | None = Field(None, description="Only rows whose predicted label differs from the given one.")
    min_suspicion: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)


def find_columns(store: Store, audit: Audit, names: set[str] | None = None) -> dict[str, NDArray[Any]]:
    """Columns (rows audited,) of a finished audit, all or some.

    Raises Conflict (not finished) and NotFound (their lifetime ended).
    """
    if audit.rows_audited is None:
        raise Conflict(
            f"The audit {audit.id} has no rows: it is {audit.state}.",
            hint=f"Wait for the job {audit.job_id}." if audit.state in ("queued", "running") else "Send it again.",
            extra={"job_id": audit.job_id, "state": audit.state},
        )
    wanted = audit.columns if names is None else sorted(names)
    found = store.audit_data.read_columns(
        audit.id, audit.rows_audited, {name: _INTEGERS.get(name, "float32") for name in wanted}
    )
    if found is None:
        raise NotFound(f"The rows of {audit.id} are no longer kept.", hint="Send the audit again.")
    return found


def read_page(
    store: Store, files: Files, audit: Audit, parameters: AuditRowParameters, bounds: Bounds
) -> AuditedRowPage:
    """One page of rows. Raises Conflict, NotFound, and InvalidRequest for a column that the audit does not have."""
    chosen = RowFilter(
        label=class_of(audit, parameters.label),
        predicted=class_of(audit, parameters.predicted),
        disagree=parameters.disagree,
        min_suspicion=parameters.min_suspicion,
    )
    columns = find_columns(store, audit)
    _check_columns(audit, chosen.columns | set(_SORT_COLUMNS.get(parameters.sort, (parameters.sort,))))
    positions = chosen.find(columns)
    shown = sort_slice(
        sort_values(parameters.sort, columns),
        positions,
        descending=parameters.order == "desc",
        offset=bounds.offset,
        length=bounds.length,
    )
    data = [AuditedRow(**row) for row in describe_rows(files, audit, columns, shown)]
    stop = bounds.offset + len(data)
    more = stop < len(positions) and bool(data)
    return AuditedRowPage(data=data, has_more=more, next=stop if more else None, rows=len(positions))


def describe_rows(files: Files, audit: Audit, columns: Columns, positions: NDArray[np.int64]) -> Iterator[Json]:
    """Rows at positions, in their order, with all fields of `AuditedRow`. Raises NotFound where the rows are gone."""
    with RowFile(files.dataset(audit.dataset_id)) as file:
        for start in range(0, len(positions), _BLOCK_ROWS):
            chosen = positions[start : start + _BLOCK_ROWS]
            values = _list_values(audit, {name: column[chosen] for name, column in columns.items()})
            for row_index, row, fields in zip(
                values["row_index"], file.read_many(values["row_index"]), _transpose(values), strict=True
            ):
                given = {"label": row["label"]} if "label" in row and "label" not in fields else {}
                about = {"row_id": str(row.pop("id")), "metadata": row.pop("metadata", None)}
                yield {**fields, **given, "row_index": row_index, **about, "row": row}


def _list_values(audit: Audit, columns: Columns) -> dict[str, list[Any]]:
    """Columns as lists of what JSON shows, under the names of `AuditedRow`."""
    shown = ("row_index", "suspicion", "loss", "self_influence", "influence", "probability")
    values: dict[str, list[Any]] = {name: columns[name].tolist() for name in shown if name in columns}
    if "label" in columns:
        values["label"] = [audit.spell(label) for label in columns["label"].tolist()]
    if "predicted" in columns:
        values["predicted_label"] = [audit.spell(label) for label in columns["predicted"].tolist()]
        values["predicted_probability"] = predicted_probabilities(columns).tolist()
        values["margin"] = margins(columns).tolist()
    if "influence" in columns:
        values["score"] = scores_of(columns["influence"]).tolist()
        values["direction"] = [direction_of(score) for score in values["score"]]
    return values


def _transpose(values: Mapping[str, list[Any]]) -> Iterator[Json]:
    for row in zip(*values.values(), strict=True):
        yield dict(zip(values, row, strict=True))


def sort_values(sort: AuditSort, columns: Columns) -> NDArray[Any]:
    if sort == "score":
        return scores_of(columns["influence"])
    return margins(columns) if sort == "margin" else columns[sort]


def _check_columns(audit: Audit, needed: set[str]) -> None:
    missing = sorted(needed - set(audit.columns))
    if missing:
        raise InvalidRequest(
            f"The audit {audit.id} has no column '{missing[0]}'.",
            hint=f"Its signals are {', '.join(audit.signal_names)}; send an audit with the one that is needed.",
            extra={"columns": list(audit.columns)},
        )


def class_of(audit: Audit, label: str | None) -> int | None:
    """A label as its class number. Raises InvalidRequest for a name that the checkpoint does not have."""
    if label is None:
        return None
    names = audit.label_names or ()
    if label in names:
        return names.index(label)
    if label.isascii() and label.isdigit() and len(label) <= 9:
        return int(label)
    known = f"Labels are {', '.join(names[:_SHOWN_LABELS])}." if names else "Give a class number, counted from 0."
    raise InvalidRequest(f"There is no label '{label[:80]}'.", hint=known)

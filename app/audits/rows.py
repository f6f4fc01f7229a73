"""Rows of a finished audit: filtered, sorted, page by page."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.datasets.rows.parameters import FilterParameters
from app.datasets.rows.selection import RowSet
from app.http.context import Context
from app.http.pagination import Bounds, RowParameters
from influence.auditing.selection import RowFilter
from influence.auditing.signals import Columns, margins, predicted_probabilities
from influence.contracts.audit import Audit, AuditedRow, AuditedRowPage, AuditSort
from influence.contracts.common import Json
from influence.contracts.curation.conditions import RowSearch
from influence.contracts.curation.review import BulkFilter
from influence.errors import Conflict, InvalidRequest, NotFound
from influence.ranking.order import direction_of, scores_of
from influence.rows.file import RowFile
from influence.store.data.files import Files
from influence.store.data.search.ordering import Positions

#: What a sort needs beside a column of its own name.
_SORT_COLUMNS: dict[str, tuple[str, ...]] = {"score": ("influence",), "margin": ("probability", "other_probability")}
_SORTS = get_args(AuditSort)
_SHOWN_LABELS = 20
#: Rows that are turned from columns into objects at a time.
_BLOCK_ROWS = 1000


class AuditFilter(FilterParameters):
    """Which rows of an audit, by its figures, by what the rows hold, and by their words."""

    label: str | None = Field(None, description="Only rows with this given label: a name or a class number.")
    predicted: str | None = Field(None, description="Only rows that the model answers so.")
    disagree: bool | None = Field(None, description="Only rows whose predicted label differs from the given one.")
    min_suspicion: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)

    @property
    def asks_audit(self) -> bool:
        """Whether only an audit can answer."""
        return any(one is not None for one in (self.label, self.predicted, self.disagree, self.min_suspicion))


class AuditRowParameters(RowParameters, AuditFilter):
    """How the rows of an audit are chosen and ordered; anything else is refused."""

    sort: str = Field(
        "suspicion", max_length=300, description=f"One of {', '.join(_SORTS)}, or a metadata column of the rows."
    )
    order: Literal["desc", "asc"] = "desc"


def find_columns(context: Context, audit: Audit) -> Columns:
    """Columns (rows audited,) of a finished audit.

    Raises Conflict (not finished) and NotFound (their lifetime ended).
    """
    if audit.rows_audited is None:
        raise Conflict(
            f"The audit {audit.id} has no rows: it is {audit.state}.",
            hint=f"Wait for the job {audit.job_id}." if audit.state in ("queued", "running") else "Send it again.",
            extra={"job_id": audit.job_id, "state": audit.state},
        )
    found = context.figures.read(context.store.audit_data, audit)
    if found is None:
        raise NotFound(f"The rows of {audit.id} are no longer kept.", hint="Send the audit again.")
    return found


def audit_rows(context: Context, audit: Audit, columns: Columns, actions: Mapping[int, str] | None = None) -> RowSet:
    """The rows of an audit, to choose from by figures and by what they hold. Raises NotFound where they are gone."""
    dataset = context.store.datasets.require(audit.dataset_id)
    return RowSet(
        dataset,
        lambda: context.tables.open(dataset),
        figures=columns,
        class_of=lambda name: require_class(audit, name),
        actions=actions,
    )


def find_positions(audit: Audit, rows: RowSet, asked: AuditFilter | BulkFilter, search: RowSearch) -> Positions:
    """Places in the columns of the rows that fit all that is asked.

    Raises InvalidRequest for a column that the audit and the rows do not have.
    """
    chosen = RowFilter(
        label=class_of(audit, asked.label),
        predicted=class_of(audit, asked.predicted),
        disagree=asked.disagree,
        min_suspicion=asked.min_suspicion,
    )
    check_columns(audit, chosen.columns)
    positions = chosen.find(rows.figures)
    return np.intersect1d(positions, rows.find(search), assume_unique=True) if search.asks else positions


def check_sort(audit: Audit, sort: str) -> None:
    """Raise InvalidRequest for a figure that the audit does not have."""
    if sort in _SORTS:
        check_columns(audit, set(_SORT_COLUMNS.get(sort, (sort,))))


def read_page(context: Context, audit: Audit, parameters: AuditRowParameters, bounds: Bounds) -> AuditedRowPage:
    """One page of rows. Raises Conflict, NotFound, and InvalidRequest for a column that is not there."""
    columns = find_columns(context, audit)
    rows = audit_rows(context, audit, columns)
    check_sort(audit, parameters.sort)
    positions = find_positions(audit, rows, parameters, parameters.search)
    shown = rows.page(
        positions,
        parameters.sort,
        descending=parameters.order == "desc",
        offset=bounds.offset,
        length=bounds.length,
    )
    data = [AuditedRow(**row) for row in describe_rows(context.files, audit, columns, shown)]
    return AuditedRowPage(data=data, **bounds.beyond(len(data), len(positions)), rows=len(positions))


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


def check_columns(audit: Audit, needed: set[str]) -> None:
    """Raise InvalidRequest for a column that the audit does not have."""
    missing = sorted(needed - set(audit.columns))
    if missing:
        raise InvalidRequest(
            f"The audit {audit.id} has no column '{missing[0]}'.",
            hint=f"Its signals are {', '.join(audit.signal_names)}; send an audit with the one that is needed.",
            extra={"columns": list(audit.columns)},
        )


def class_of(audit: Audit, label: str | None) -> int | None:
    """A label as its class number, if one is given. Raises as `require_class`."""
    return None if label is None else require_class(audit, label)


def require_class(audit: Audit, label: str) -> int:
    """A label as its class number. Raises InvalidRequest for a name that the checkpoint does not have."""
    names = audit.label_names or ()
    if label in names:
        return names.index(label)
    if label.isascii() and label.isdigit() and len(label) <= 9:
        return int(label)
    known = f"Labels are {', '.join(names[:_SHOWN_LABELS])}." if names else "Give a class number, counted from 0."
    raise InvalidRequest(f"There is no label '{label[:80]}'.", hint=known)

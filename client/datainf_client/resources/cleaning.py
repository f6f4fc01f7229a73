"""A review's decisions, applied to the caller's own rows."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from datainf_client.generated.models import Dataset, Review
from datainf_client.http.errors import ServiceError
from datainf_client.http.session import Json, Session
from datainf_client.sources.ids import resource_path
from datainf_client.sources.rows import is_frame, is_hub_dataset

_JSONL = "application/jsonl"


class Decided(NamedTuple):
    """A row that is removed, or that gets a new label."""

    row_index: int
    action: str
    label: str | None
    row: Json


def clean(session: Session, review: Review, rows: Any) -> Any:
    """The rows without those that were removed and with new labels, as the kind of thing that they came as.

    Raises ServiceError where there are not as many of them as in the data set, or a decided row holds something else.
    """
    dataset = Dataset.model_validate(session.get(resource_path("datasets", review.dataset_id)))
    if len(rows) != dataset.rows:
        raise _foreign(f"There are {len(rows):,} rows, and the review is about {dataset.rows:,}.")
    decided = list(_read_decided(session, review))
    row_at = _reader(rows)
    for one in decided:
        _require_same(one, row_at(one.row_index), dataset)
    removed = {one.row_index for one in decided if one.action == "remove"}
    labels = {one.row_index: one.label for one in decided if one.action == "relabel"}
    return _write(rows, removed, labels, _label_column(dataset))


def _read_decided(session: Session, review: Review) -> Iterator[Decided]:
    """Decisions that change something, with the rows as they were when they were uploaded."""
    path = f"{resource_path('reviews', review.id)}/export"
    for line in session.lines(path, media_type=_JSONL, format="jsonl", mode="annotated"):
        row = json.loads(line)
        if row.get("action") in ("remove", "relabel"):
            yield Decided(row["row_index"], row["action"], row.get("reviewed_label"), row)


def _label_column(dataset: Dataset) -> str:
    return dataset.columns.get("label", "label")


def _reader(rows: Any) -> Any:
    """A function from a row's place to the row, as a mapping."""
    return (lambda place: rows.iloc[place].to_dict()) if is_frame(rows) else (lambda place: rows[place])


def _require_same(decided: Decided, row: Mapping[str, Any], dataset: Dataset) -> None:
    """Texts of a decided row have to be the caller's, too: a frame that was sorted since is another one."""
    for role, column in dataset.columns.items():
        sent = decided.row.get(column)
        if role != "label" and isinstance(sent, str) and isinstance(row.get(column), str) and row[column] != sent:
            raise _foreign(f"Row {decided.row_index} holds another {column!r} than when it was decided about.")


def _foreign(detail: str) -> ServiceError:
    return ServiceError(
        detail, code="invalid_request", hint="Give the rows as they were uploaded, all of them and in their order."
    )


def _write(rows: Any, removed: set[int], labels: Mapping[int, str | None], column: str) -> Any:
    kept = [place for place in range(len(rows)) if place not in removed]
    if is_frame(rows):
        return _write_frame(rows, kept, labels, column)
    if is_hub_dataset(rows):
        return _write_hub_dataset(rows, kept, labels, column)
    changed = {place: {**rows[place], column: _like(label, rows[place].get(column))} for place, label in labels.items()}
    return [changed.get(place, rows[place]) for place in kept]


def _write_frame(frame: Any, kept: list[int], labels: Mapping[int, str | None], column: str) -> Any:
    cleaned = frame.copy()
    at = cleaned.columns.get_loc(column) if labels else 0
    for place, label in labels.items():
        written = _like(label, frame.iat[place, at])
        if str(cleaned.dtypes.iloc[at]) == "category" and written not in cleaned[column].cat.categories:
            cleaned[column] = cleaned[column].cat.add_categories([written])
        cleaned.iat[place, at] = written
    return cleaned.iloc[kept]


def _write_hub_dataset(rows: Any, kept: list[int], labels: Mapping[int, str | None], column: str) -> Any:
    def relabel(row: Mapping[str, Any], place: int) -> Mapping[str, Any]:
        return {column: _like(labels[place], row[column])} if place in labels else {column: row[column]}

    changed = rows.map(relabel, with_indices=True, features=rows.features) if labels else rows
    return changed.select(kept)


def _like(label: str | None, present: Any) -> Any:
    """A label as the column has its own: class numbers are written in words only between us and the service."""
    if isinstance(present, bool) or not hasattr(present, "__index__"):
        return label
    return type(present)(int(label or 0))

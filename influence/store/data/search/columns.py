"""What can be asked of the rows of a data set: its columns, by name, and what their values are."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from influence.contracts.curation.conditions import METADATA_PREFIX
from influence.contracts.dataset import ROW_FORMS, Dataset, MetadataType
from influence.errors import InvalidRequest

Row = Mapping[str, Any]
_SHOWN = 20


@dataclass(frozen=True)
class SearchColumn:
    """A column of the table: `field` is its name there, for those of people are not to be trusted."""

    name: str
    field: str
    type: MetadataType
    read: Callable[[Row], Any]


@dataclass(frozen=True)
class SearchColumns:
    """Columns of a data set: fields that all rows have, and metadata."""

    fields: Mapping[str, SearchColumn]
    metadata: Mapping[str, SearchColumn]

    def all(self) -> list[SearchColumn]:
        """In the order of the table."""
        return [*self.fields.values(), *self.metadata.values()]

    def find(self, name: str) -> SearchColumn | None:
        """A column by the name that a request has for it."""
        if name.startswith(METADATA_PREFIX) and name.removeprefix(METADATA_PREFIX) in self.metadata:
            return self.metadata[name.removeprefix(METADATA_PREFIX)]
        return self.fields.get(name) or self.metadata.get(name)

    def require(self, name: str) -> SearchColumn:
        """Raises InvalidRequest, which names the columns that there are."""
        found = self.find(name)
        return self.refuse(name, [*self.fields, *self.metadata]) if found is None else found

    def refuse(self, name: str, known: list[str]) -> NoReturn:
        """Raise InvalidRequest for a column that is not there; `known` are those that are."""
        raise InvalidRequest(
            f"The rows have no column '{name[:80]}'.",
            hint=f"Their columns are {', '.join(known[:_SHOWN])}.",
            extra={"columns": known},
        )


def columns_of(dataset: Dataset, first: Row) -> SearchColumns:
    """The columns of a data set, of which one row is at hand."""
    fields = {"row_id": SearchColumn("row_id", "row_id", "string", lambda row: row.get("id"))}
    if "label" in first:
        fields["label"] = _label_column(dataset, first["label"])
    if "class" in first:
        fields["class"] = SearchColumn("class", "class_", "string", lambda row: row.get("class"))
    metadata = {
        name: SearchColumn(name, f"m{place}", kind, _metadata_reader(name))
        for place, (name, kind) in enumerate(dataset.metadata_columns.items())
    }
    return SearchColumns(fields, metadata)


def _metadata_reader(name: str) -> Callable[[Row], Any]:
    return lambda row: (row.get("metadata") or {}).get(name)


def _label_column(dataset: Dataset, label: Any) -> SearchColumn:
    names = dataset.label_names
    if ROW_FORMS[dataset.kind].label == "class" and not (isinstance(label, int) and not names):
        return SearchColumn("label", "label", "string", lambda row: spell_class(row.get("label"), names))
    is_number = isinstance(label, int | float)
    return SearchColumn("label", "label", "number" if is_number else "json", lambda row: row.get("label"))


def spell_class(label: Any, names: tuple[str, ...] | None) -> Any:
    """A class by its name, where the data set has names and the row a number."""
    return names[label] if names and isinstance(label, int) and 0 <= label < len(names) else label


def as_cell(value: Any, kind: MetadataType) -> Any:
    """A value as the table holds it: a number as a float, a time in UTC, anything nested as JSON text.

    None where the value is none of its column's kind, as a day that no calendar has.
    """
    if value is None:
        return None
    if kind == "number":
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "time":
        return as_time(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_time(value: Any) -> datetime | None:
    """A moment in UTC; a day is its first moment, and a time without a zone is taken for UTC."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None

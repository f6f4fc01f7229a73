"""A table, whatever file it came in."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.intake.tables.limits import Source, TableLimits, check_columns
from influence.contracts.dataset import DatasetFormat, MetadataType, RowProblem
from influence.rows.values import ValueKind, kind_of_value

Types = Mapping[str, frozenset[ValueKind]]


@dataclass(frozen=True)
class Table:
    """An opened table. `rows(columns)` streams it from the start each time; other columns may be left out.

    `types` says what kinds of values columns hold, of JSON all that they do, else what the schema tells. `text_types`
    is None but where every value is a string (CSV): what these strings are. `filled` says that objects are filled with
    nulls for fields that a row does not have. `class_names` holds what the file says about its classes. `only_row` is
    the row of a JSON file that has no other.
    """

    format: DatasetFormat
    columns: list[str]
    rows: Callable[[Sequence[str]], Iterator[Source]]
    types: Types = field(default_factory=dict)
    text_types: Mapping[str, MetadataType] | None = None
    filled: bool = False
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[RowProblem, ...] = ()
    only_row: Source | None = None


@dataclass(frozen=True)
class Scan:
    """What one pass over rows found: columns in the order in which they came, their kinds of values, and a lone row."""

    types: dict[str, frozenset[ValueKind]]
    only_row: Source | None

    @property
    def columns(self) -> list[str]:
        return list(self.types)


def scan_rows(rows: Iterable[Source], limits: TableLimits) -> Scan:
    """The union of the columns of all rows, however late they come. Raises TooLarge for too many columns."""
    found: dict[str, set[ValueKind]] = {}
    only_row = None
    for place, row in enumerate(rows):
        only_row = None if place else row
        for name, value in row.items():
            kinds = found.get(name)
            if kinds is None:
                kinds = found[name] = set()
                check_columns(found, limits, f"row {place}")
            kinds.add(kind_of_value(value))
    return Scan({name: frozenset(kinds) for name, kinds in found.items()}, only_row)

"""What is said of a table whose columns make no row."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from influence.rows.values import ValueKind

#: Column -> the kinds of values that it holds.
Types = Mapping[str, frozenset[ValueKind]]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What the columns do or are, what to do, and columns that make right rows where such a mapping is known."""

    what: str
    hint: str
    columns: dict[str, str] = field(default_factory=dict)


def holds(column: str, types: Types, wanted: Collection[ValueKind]) -> bool:
    """Whether a column holds such values and no others."""
    found = types.get(column, frozenset()) - {"nothing"}
    return bool(found) and found <= set(wanted)


def may_hold(column: str, types: Types, wanted: Collection[ValueKind]) -> bool:
    """Whether a column may hold such values and no others: of one that nobody looked into, too."""
    return set(types.get(column, wanted)) - {"nothing"} <= set(wanted)

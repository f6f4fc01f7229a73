"""Names of int labels: given by the caller, or learnt from a column that names each class one to one."""

from collections.abc import Sequence
from typing import Any

from influence.contracts.dataset import CLASSIFICATION
from influence.errors import BrokenRow, InvalidRequest, LabelOutOfRange, LabelUnknown, RowsRefused
from influence.rows.label_forms.class_values import (
    FORMS,
    MAX_LABEL_CHARACTERS,
    Form,
    NoLabel,
    Reading,
    looks_whole,
    read_label,
)
from influence.rows.values import UNWRITABLE, Label

#: More classes than this is a column of something else.
MAX_LABELS = 100_000
_TRUTH_PLACES = {"false": 0, "no": 0, "true": 1, "yes": 1}


class LabelBook:
    """Checks the labels of a data set one by one and knows the names at the end.

    All labels are ints or all are names. With `given` names an int must lie in their range and a name must be
    one of them. `numbered` says that the names came with the class numbers (a schema's class labels), so that a number
    can only be a class number. Memory is bounded by MAX_LABELS names.
    """

    def __init__(self, given: Sequence[str] | None = None, *, numbered: bool = False) -> None:
        self.given = tuple(given) if given is not None else None
        if self.given is not None:
            _check_names(self.given)
        self._known = frozenset(self.given or ())
        self._numbered = numbered
        self._type: type | None = None
        self._seen: dict[Label, str | None] = {}
        self.is_one_to_one = True

    def read(self, value: Any, column: str, *, role: str, typed: bool) -> Label | None:
        """A label in normal form; None where the row has none. Raises BrokenRow and RowsRefused without a row."""
        # One of several classes or tags is no list, not even of one.
        if isinstance(value, list | tuple) and role not in CLASSIFICATION.label_roles:
            raise BrokenRow(f"column {column!r} holds several labels.", hint="Give one class number or name.")
        found = self.read_cell(value, column, typed=typed)
        if isinstance(found, Reading):
            return found.label
        if found.reason == "several":
            raise BrokenRow(f"column {column!r} holds several labels.", hint="Give one class number or name.")
        return None

    def read_cell(self, value: Any, column: str, *, typed: bool) -> Reading | NoLabel:
        """What a cell says. Raises BrokenRow, and RowsRefused for a number that may be meant as one of the names."""
        found = read_label(value, column, typed=typed, names=self._known)
        if isinstance(found, Reading) and isinstance(found.label, int) and not self._numbered:
            self._refuse_ambiguous(found.label, found.form)
        return found

    def _refuse_ambiguous(self, label: int, form: Form) -> None:
        if self.given is not None and 0 <= label < len(self.given) and is_ambiguous(form, self.given):
            raise RowsRefused(
                f"label {label} is {FORMS[form]}, and the label names are, too, in another order: class {label} is "
                f"called {self.given[label]!r}.",
                hint="Write the labels as texts, which are read as names.",
            )

    def check(self, label: Label) -> None:
        """Raise LabelOutOfRange, LabelUnknown or RowsRefused where `label` does not go with the rest."""
        if isinstance(label, int) and (label < 0 or (self.given is not None and label >= len(self.given))):
            raise LabelOutOfRange(
                f"label {label} is out of range.",
                hint=f"{len(self.given)} label names are given: 0 to {len(self.given) - 1}."
                if self.given is not None and label >= 0
                else "Classes count from 0; -1 and -100 are how published test sets and trainers mark rows without a "
                "label: drop these rows. Where -1 and 1 are two classes, write 0 and 1 as the head counts them.",
            )
        if isinstance(label, str) and self.given is not None and label not in self._known:
            raise LabelUnknown(
                f"label {label[:80]!r} is not one of the {len(self.given)} label names given.",
                hint=f"The names begin {', '.join(map(repr, self.given[:8]))}.",
            )

    def add(self, label: Label, name: object) -> None:
        """Take up one row's label and what the naming column says (None: nothing)."""
        self.check(label)
        if self._type is not None and type(label) is not self._type:
            raise RowsRefused(
                f"label {label!r} is {_called(type(label))}, the rows before have {_called(self._type)}.",
                hint="Write all labels as class numbers or all as names.",
            )
        self._type = type(label)
        if label not in self._seen:
            if len(self._seen) >= MAX_LABELS:
                raise RowsRefused(
                    f"there are more than {MAX_LABELS} different labels.",
                    hint="Name the column of class labels in 'columns'.",
                )
            self._seen[label] = name if isinstance(name, str) and len(name) <= MAX_LABEL_CHARACTERS else None
        elif self._seen[label] != name:
            self.is_one_to_one = False

    def facts(self) -> dict[str, int]:
        """Counts say all that is to be known."""
        return {}

    def names(self) -> tuple[str, ...] | None:
        """Names in the order of the classes: the given ones, or those learnt when they cover 0..n-1 one to one."""
        if self.given is not None or not self.is_one_to_one or self._type is not int:
            return self.given
        names = tuple(name for label in range(len(self._seen)) if (name := self._seen.get(label)))
        return names if len(names) == len(self._seen) and are_label_names(names) else None


def is_ambiguous(form: Form, names: Sequence[str]) -> bool:
    """Whether a label in this form may be meant as a name: names look like it and do not stand at their own place."""
    if form == "name":
        return False
    if form == "truth":
        return any(_TRUTH_PLACES.get(name.strip().lower(), place) != place for place, name in enumerate(names))
    return any(looks_whole(name) and name != str(place) for place, name in enumerate(names))


def are_label_names(names: Sequence[object]) -> bool:
    """Whether these can name classes: strings, different, none empty or unwritable, not too many."""
    strings = [name for name in names if isinstance(name, str) and name and not UNWRITABLE.search(name)]
    return 0 < len(names) <= MAX_LABELS and len(strings) == len(names) == len(set(strings))


def _check_names(names: Sequence[object]) -> None:
    if not are_label_names(names):
        raise InvalidRequest(
            "'label_names' must be different, non-empty names.",
            hint="List each class once, in the order of the head's outputs.",
        )


def _called(kind: type) -> str:
    return "a class number" if kind is int else "a name"

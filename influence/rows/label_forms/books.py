"""Which book reads and checks the labels of a kind of rows."""

from collections.abc import Sequence
from typing import Any, Protocol

from influence.contracts.dataset import ROW_FORMS, RowKind
from influence.rows.label_forms.class_sets import ClassSetBook
from influence.rows.label_forms.numbers import NumberBook
from influence.rows.label_forms.tags import TagBook
from influence.rows.labels import LabelBook


class Labels(Protocol):
    """The labels of one data set, taken up row by row. Refusals are without a row number; the caller adds it."""

    def read(self, value: Any, column: str, *, role: str, typed: bool) -> Any:
        """A label in normal form; None where the row has none. Raises BrokenRow and RowsRefused."""

    def check(self, label: Any) -> None:
        """Raise RowsRefused where a label in normal form cannot be one of this data set."""

    def add(self, label: Any, name: object) -> None:
        """Take up a row's label and what the naming column says (None: nothing). Raises RowsRefused."""

    def names(self) -> tuple[str, ...] | None:
        """Names of the classes in order, or None where they are not known or there are none."""

    def facts(self) -> dict[str, int]:
        """What statistics say of the labels beside their counts, once all were taken up."""


def open_book(
    kind: RowKind, label_names: Sequence[str] | None, classes: int | None = None, *, numbered: bool = False
) -> Labels:
    """An empty book for rows of a kind; `classes` is how many there are, where that is known, `numbered` as in
    `LabelBook`.

    Raises InvalidRequest for names that are none, or where labels have none.
    """
    form = ROW_FORMS[kind].label
    if form == "number":
        return NumberBook(label_names)
    if form == "classes":
        return ClassSetBook(label_names, classes, numbered=numbered)
    if form == "tags":
        return TagBook(label_names, numbered=numbered)
    return LabelBook(label_names, numbered=numbered)

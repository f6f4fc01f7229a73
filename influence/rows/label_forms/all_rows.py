"""The labels of all rows together: which rows have none, the one form that they are written in, and what is odd."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from influence.errors import RowsRefused
from influence.rows.findings import NAMED_ROWS, Findings
from influence.rows.label_forms.books import Labels
from influence.rows.label_forms.class_values import FORMS, Form, NoLabel, Reading
from influence.rows.label_forms.vectors import are_vectors
from influence.rows.labels import LabelBook
from influence.rows.roles import PLURAL_LABELS, key_of
from influence.rows.values import Label

_KEPT_WORDS = 20


class DatasetLabels:
    """Takes up the labels of a data set row by row; `finish()` after the last one.

    Where each label is one class, words for nothing and cells with several choices are told apart. Memory is bounded by
    the number of classes that a book takes.
    """

    def __init__(
        self, book: Labels, column: str, findings: Findings, *, role: str, naming_column: str | None = None
    ) -> None:
        self.form: Form | None = None
        self._book = book
        self._classes = book if isinstance(book, LabelBook) else None
        self._column = column
        self._role = role
        self._findings = findings
        self._naming_column = naming_column
        self._mismatch: int | None = None
        self._first_rows: dict[Label, int] = {}
        self._counts: Counter[Label] = Counter()
        self._absent = {"missing": _Absent(), "several": _Absent()}

    def add(self, row: int, value: Any, name: object, *, typed: bool) -> Any:
        """One row's label in normal form, None where it has none; `name` is what the naming column says.

        Raises BrokenRow and RowsRefused without a row number.
        """
        if self._classes is not None:
            found = self._classes.read_cell(value, self._column, typed=typed)
            if isinstance(found, NoLabel):
                self._absent[found.reason].add(row, found.word)
                return None
            self._take_up(row, found)
            self._classes.add(found.label, name)
            if self._mismatch is None and not self._classes.is_one_to_one:
                self._mismatch = row
            return found.label
        label = self._book.read(value, self._column, role=self._role, typed=typed)
        if label is None:
            self._absent["missing"].add(row, value if isinstance(value, str) else "")
        else:
            self._book.add(label, name)
        return label

    def _take_up(self, row: int, found: Reading) -> None:
        if self.form is not None and found.form != self.form:
            raise RowsRefused(
                f"label {found.label!r} is {FORMS[found.form]}, the rows before have {FORMS[self.form]}.",
                hint="Write all labels as class numbers or all as names.",
            )
        self.form = found.form
        self._first_rows.setdefault(found.label, row)
        self._counts[found.label] += 1

    def names(self) -> tuple[str, ...] | None:
        """Names of the classes in order, or None where they are not known."""
        return self._book.names()

    def facts(self) -> dict[str, int]:
        """What statistics say of the labels beside their counts."""
        return self._book.facts()

    def finish(self) -> None:
        """After the last row: raise RowsRefused for rows without one label, and note what is odd."""
        self._absent["missing"].refuse(
            f"no label in column {self._column!r}",
            hint="Label or drop these rows; every row of a data set of this kind needs a label. If such a word is the "
            "name of a class, send it in 'label_names'.",
        )
        self._absent["several"].refuse(
            f"several labels, or a list of them, in column {self._column!r}",
            hint=self._as_vectors()
            if are_vectors(self._absent["several"].words)
            else "Give each row one class number or name: keep one choice per row, or drop these rows. Where a row may "
            f'have any number of classes, write each label as a JSON list and send columns={{"labels": '
            f'"{self._column[:80]}"}}.',
        )
        if self._classes is not None and self._classes.given is None and self.form == "name":
            self._refuse_joined()
        if self._naming_column is not None and self.names() is None and self._counts:
            self._findings.note("label_names_not_learnt", self._naming_column, self._mismatch or 0)
        if self.form == "truth":
            self._findings.note("truth_labels", self._column, min(self._first_rows.values()))
        if self.form == "number" and self._begin_with_one():
            self._findings.note("labels_from_one", self._column, min(self._first_rows.values()))
        self._note_similar()

    def _begin_with_one(self) -> bool:
        """Whether several classes are numbered, the first of them 1."""
        return len(self._counts) > 1 and 1 in self._counts and 0 not in self._counts

    def _as_vectors(self) -> str:
        return (
            "Where these are vectors with a 0 or 1 for each class, in the order of the head's outputs, send "
            f'columns={{"label_vector": "{self._column[:80]}"}}.'
        )

    def _refuse_joined(self) -> None:
        names = [label for label in self._counts if isinstance(label, str)]
        if are_vectors(names):
            raise RowsRefused(
                f"the labels in column {self._column!r} look like vectors of 0 and 1, such as {names[0][:80]!r}.",
                hint=f"{self._as_vectors()} If such texts are names of classes, send all of them in 'label_names'.",
                extra={"labels": [label[:80] for label in names[:NAMED_ROWS]]},
            )
        joined = find_joined(names, is_plural=key_of(self._column) in PLURAL_LABELS)
        if joined:
            rows = sum(self._counts[label] for label in joined)
            raise RowsRefused(
                f"{rows} rows have several labels in one cell of column {self._column!r}, such as row "
                f"{self._first_rows[joined[0]]}: {joined[0][:80]!r}.",
                hint="Give each row one class. If such a text is one class, send all names in 'label_names'.",
                extra={
                    "row_indexes": sorted(self._first_rows[label] for label in joined)[:NAMED_ROWS],
                    "count": rows,
                    "labels": [label[:80] for label in joined[:NAMED_ROWS]],
                },
            )

    def _note_similar(self) -> None:
        groups: dict[str, list[str]] = {}
        for label in self._counts:
            if isinstance(label, str):
                alike = unicodedata.normalize("NFKC", label).casefold()
                groups.setdefault(" ".join(alike.split()), []).append(label)
        similar = [label for group in groups.values() if len(group) > 1 for label in group]
        for label in sorted(similar, key=self._first_rows.__getitem__):
            self._findings.note("similar_labels", label, self._first_rows[label])


class _Absent:
    """Rows without a label for one reason: how many, the first ones, and the words that they hold."""

    def __init__(self) -> None:
        self.count = 0
        self.rows: list[int] = []
        self.words: Counter[str] = Counter()

    def add(self, row: int, word: str) -> None:
        self.count += 1
        if len(self.rows) < NAMED_ROWS:
            self.rows.append(row)
        if word in self.words or len(self.words) < _KEPT_WORDS:
            self.words[word] += 1

    def refuse(self, what: str, *, hint: str) -> None:
        """Raise RowsRefused where there is such a row."""
        if not self.count:
            return
        words = {word: count for word, count in self.words.items() if word}
        holds = f" They hold {', '.join(f'{word!r} ({count})' for word, count in words.items())}." if words else ""
        raise RowsRefused(
            f"{'1 row has' if self.count == 1 else f'{self.count} rows have'} {what}, the first is row {self.rows[0]}."
            + holds,
            hint=hint,
            extra={"row_indexes": self.rows, "count": self.count, "values": words},
        )


def find_joined(labels: Sequence[str], *, is_plural: bool = False) -> list[str]:
    """Labels that are several: their parts between `;`, `|` or `,` are labels themselves or come in several of them.

    Names hold commas, too: between these all parts of a label have to be such, in a column with a plural name one.
    """
    known = {label.strip() for label in labels}
    found: list[str] = []
    for mark in ";|,":
        split = {label: parts for label in labels if len(parts := _parts(label, mark)) > 1}
        uses = Counter(part for parts in split.values() for part in set(parts))
        enough = all if mark == "," and not is_plural else any
        found += [label for label, parts in split.items() if enough(part in known or uses[part] > 1 for part in parts)]
    return list(dict.fromkeys(found))


def _parts(label: str, mark: str) -> list[str]:
    return [part.strip() for part in label.split(mark)]

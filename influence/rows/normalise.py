"""Rows as they come -> rows in the normal form of their kind. Order is kept; no row is dropped or mended."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from influence.contracts.dataset import ROW_FORMS, Roles, RowKind
from influence.errors import BrokenRow, ColumnsUnmatched, DatainfError, RowsRefused
from influence.rows.columns import CLASS, ColumnMap, choose_columns
from influence.rows.label_forms.books import Labels, open_book
from influence.rows.messages import alpaca_prompt, as_messages
from influence.rows.repeats import HashList
from influence.rows.values import UNWRITABLE, as_class, as_id, as_text

Source = Mapping[str, Any]
Row = dict[str, Any]
_NAMED_ROWS = 20


class NormalisedRows:
    """A stream of normalised rows, to be iterated once.

    `label_names` is complete after the last row. Raises BrokenRow and RowsRefused with the row's index, counted
    from 0, in `extra["row_index"]` or `extra["row_indexes"]`.
    """

    def __init__(
        self, source: Iterable[Source], columns: ColumnMap, label_names: Sequence[str] | None, typed: bool
    ) -> None:
        self.columns = columns
        self.kind: RowKind = columns.kind
        self._source = source
        self._typed = typed
        self._labels = open_book(columns.kind, label_names)
        roles = ROW_FORMS[columns.kind].label_roles
        self._label_role = next((role for role in roles if role in columns.columns), None)
        self._ids = HashList() if "id" in columns.columns else None
        self._without_label: list[int] = []

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """Class names in order, or None where they are not known."""
        return self._labels.names()

    @property
    def label_facts(self) -> dict[str, int]:
        """What is known of the labels beside names and counts, after the last row."""
        return self._labels.facts()

    def __iter__(self) -> Iterator[Row]:
        for index, source in enumerate(self._source):
            try:
                yield self._row(index, source)
            except (BrokenRow, RowsRefused) as error:
                raise _at("Row", "row_index", index, error) from error
            if len(self._without_label) >= _NAMED_ROWS:
                break
        self._refuse_missing_labels()
        self._refuse_repeated_ids()

    def _row(self, index: int, source: Source) -> Row:
        columns = self.columns.columns
        content = read_content(source, columns)
        if (role := self._label_role) is not None:
            column = columns[role]
            label = self._labels.read(source.get(column), column, role=role, typed=self._typed)
            if label is None:
                self._without_label.append(index)
            else:
                self._labels.add(label, source.get(self.columns.label_name) if self.columns.label_name else None)
            content["label"] = label
        if CLASS in columns:
            content[CLASS] = as_class(source.get(columns[CLASS]), columns[CLASS], typed=self._typed)
        return {"id": self._id(index, source), **content}

    def _id(self, index: int, source: Source) -> str:
        if self._ids is None:
            return row_id(index)
        column = self.columns.columns["id"]
        name = as_id(source.get(column), column)
        self._ids.add(name.encode())
        return name

    def _refuse_missing_labels(self) -> None:
        if rows := self._without_label:
            column = self.columns.columns[str(self._label_role)]
            many = "At least " if len(rows) >= _NAMED_ROWS else ""
            raise RowsRefused(
                f"{many}{len(rows)} rows have no label in column {column!r}, the first is row {rows[0]}.",
                hint="Label or drop these rows; every row of a data set of this kind needs a label.",
                extra={"row_indexes": rows},
            )

    def _refuse_repeated_ids(self) -> None:
        if self._ids is not None and (repeats := self._ids.repeats()).size:
            rows = [int(row) for row in repeats[:_NAMED_ROWS]]
            raise RowsRefused(
                f"{repeats.size} rows repeat the id of an earlier row, the first is row {rows[0]}.",
                hint='Make the ids unique, or send columns with "id": "" for ids made from row numbers.',
                extra={"row_indexes": rows, "count": int(repeats.size)},
            )


def normalise_rows(
    source: Iterable[Source], columns: ColumnMap, *, label_names: Sequence[str] | None = None, typed: bool = True
) -> NormalisedRows:
    """Stream rows in normal form. `typed` is False where every value is a string (CSV)."""
    return NormalisedRows(source, columns, label_names, typed)


def row_id(index: int) -> str:
    """The id of a row that brought none."""
    return f"row-{index:08d}"


def read_content(source: Source, columns: Mapping[str, str]) -> Row:
    """The fields of a row beside id and label, in normal form. Raises BrokenRow without a row number."""
    if "prompt" in columns:
        return {role: as_text(source.get(columns[role]), columns[role]) for role in ("prompt", "completion")}
    if "instruction" in columns:
        return _alpaca(source, columns)
    for role in ("messages", "conversations"):
        if role in columns:
            return {"messages": as_messages(source.get(columns[role]), columns[role])}
    return {
        role: as_text(source.get(columns[role]), columns[role]) for role in ("text", "text_pair") if role in columns
    }


def _alpaca(source: Source, columns: Mapping[str, str]) -> Row:
    given = source.get(columns["input"]) if "input" in columns else None
    return {
        "prompt": alpaca_prompt(
            as_text(source.get(columns["instruction"]), columns["instruction"]),
            as_text(given, columns["input"]) if given is not None else "",
        ),
        "completion": as_text(source.get(columns["output"]), columns["output"]),
    }


def normalise_examples(
    examples: Sequence[Source],
    kind: RowKind,
    columns: Mapping[str, str] | None = None,
    *,
    label_names: Sequence[str] | None = None,
    classes: int | None = None,
) -> list[Row]:
    """Query examples in the normal form of `kind`; a missing label is None.

    `classes` is how many the model has, where that is known. Fields go by the data set's own `columns` or by the names
    of the roles. Raises ColumnsUnmatched, BrokenRow or a RowsRefused with the example's index in
    `extra["example_index"]`.
    """
    book = open_book(kind, label_names, classes)
    return [_guarded(_example, index, example, kind, columns or {}, book) for index, example in enumerate(examples)]


def _guarded(read: Callable[..., Row], index: int, *rest: Any) -> Row:
    try:
        return read(index, *rest)
    except (BrokenRow, RowsRefused, ColumnsUnmatched) as error:
        raise _at("Example", "example_index", index, error) from error


def _example(index: int, example: Source, kind: RowKind, columns: Mapping[str, str], book: Labels) -> Row:
    if not isinstance(example, Mapping):
        raise BrokenRow("is no object.", hint='An example is an object such as {"text": "..."}.')
    found = _example_columns(example, kind, columns)
    row = {"id": _example_id(index, example, columns), **read_content(example, found)}
    if ROW_FORMS[kind].label is not None:
        row["label"] = _example_label(example, kind, columns, book)
    return row


def _example_columns(example: Source, kind: RowKind, columns: Mapping[str, str]) -> dict[str, str]:
    readings = ROW_FORMS[kind].readings
    for reading in readings:
        fields = _fields(example, reading, columns)
        if fields.keys() >= set(reading.needed):
            return fields
    names = [str(name) for name in example]
    guessed = choose_columns(names) if ROW_FORMS[kind].label is None else None
    if guessed is not None and guessed.kind == kind:
        return guessed.columns
    wanted = " or ".join(" + ".join(map(repr, reading.needed)) for reading in readings)
    raise ColumnsUnmatched(
        f"has no {wanted}.",
        hint=f"Give the fields {wanted}, or the names of the data set's own columns.",
        extra={"columns_seen": [name[:80] for name in names if not UNWRITABLE.search(name)][:50]},
    )


def _fields(example: Source, reading: Roles, columns: Mapping[str, str]) -> dict[str, str]:
    roles = (*reading.needed, *reading.optional)
    return {role: field for role in roles if (field := _field(example, role, columns))}


def _field(example: Source, role: str, columns: Mapping[str, str]) -> str | None:
    return next((name for name in (columns.get(role), role) if name is not None and name in example), None)


def _example_label(example: Source, kind: RowKind, columns: Mapping[str, str], book: Labels) -> Any:
    """By a role's field, or by `label`, which is then what the data set's own column is."""
    roles = ROW_FORMS[kind].label_roles
    own = next((role for role in roles if role in columns), roles[0])
    fields = {role: field for role in (own, *roles) if (field := _field(example, role, columns))}
    role, field = next(iter(fields.items()), (own, "label" if "label" in example else None))
    label = book.read(example[field], field, role=role, typed=True) if field else None
    if label is not None:
        book.check(label)
    return label


def _example_id(index: int, example: Source, columns: Mapping[str, str]) -> str:
    field = _field(example, "id", columns)
    return as_id(example[field], field) if field and example[field] is not None else f"example-{index}"


def _at(noun: str, key: str, index: int, error: DatainfError) -> DatainfError:
    """The same error with the place it happened at."""
    return type(error)(f"{noun} {index}: {error.detail}", hint=error.hint, extra={**error.extra, key: index})

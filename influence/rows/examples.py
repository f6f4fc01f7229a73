"""Examples in a query -> rows in the normal form of a data set's kind."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from influence.contracts.dataset import COMPLETION, ROW_FORMS, Roles, RowKind
from influence.errors import BrokenRow, ColumnsAmbiguous, ColumnsUnmatched, RowsRefused
from influence.rows.columns import choose_columns
from influence.rows.content import Row, Source, read_content
from influence.rows.findings import Findings
from influence.rows.images.limits import ImageLimits
from influence.rows.images.sources import ImageReader, InlineKeeper
from influence.rows.label_forms.books import Labels, open_book
from influence.rows.label_forms.tags import check_extent
from influence.rows.metadata import MetadataReader
from influence.rows.normalise import at_place
from influence.rows.roles import CONTEXT, UNREADABLE, key_of
from influence.rows.unfit.cells import refuse_unreadable, says_nothing
from influence.rows.values import UNWRITABLE, as_id, kind_of_value


def normalise_examples(
    examples: Sequence[Source],
    kind: RowKind,
    columns: Mapping[str, str] | None = None,
    *,
    beside: Collection[str] = (),
    label_names: Sequence[str] | None = None,
    classes: int | None = None,
    image_limits: ImageLimits | None = None,
    made: str | None = None,
) -> list[Row]:
    """Query examples in the normal form of `kind`; a missing label is None, and what plays no role is metadata.

    Fields go by the data set's own `columns` or by the names of the roles; `beside` are the columns that play none,
    `classes` is how many the model has, where that is known. An image stays in its example (see InlineKeeper).
    What the model makes itself (`made`: an "image", or "text") an example may do without.
    Raises ColumnsUnmatched, ColumnsAmbiguous, BrokenRow or a RowsRefused with the example's index in
    `extra["example_index"]`.
    """
    book = open_book(kind, label_names, classes)
    images = ImageReader(InlineKeeper(), image_limits or ImageLimits())
    return [
        _guarded(_example, index, example, kind, columns or {}, beside, book, images, made)
        for index, example in enumerate(examples)
    ]


def _guarded(read: Callable[..., Row], index: int, *rest: Any) -> Row:
    try:
        return read(index, *rest)
    except (BrokenRow, RowsRefused, ColumnsUnmatched, ColumnsAmbiguous) as error:
        raise at_place("Example", "example_index", index, error) from error


def _example(
    index: int,
    example: Source,
    kind: RowKind,
    columns: Mapping[str, str],
    beside: Collection[str],
    book: Labels,
    images: ImageReader,
    made: str | None,
) -> Row:
    if not isinstance(example, Mapping):
        raise BrokenRow("is no object.", hint='An example is an object such as {"text": "..."}.')
    if made == "text":
        example = _with_blank(example, kind, columns)
    found = _example_columns(example, kind, columns, {"image"} if made == "image" else set())
    _refuse_unreadable(example, kind, found, beside)
    row: Row = {"id": _example_id(index, example, columns)}
    if "image" in found:
        row["image"] = images.read(example[found["image"]], found["image"]).field
    row |= read_content(example, found, kind)
    used = {*found.values(), _field(example, "id", columns)}
    if ROW_FORMS[kind].label is not None:
        role, field = _label_field(example, kind, columns)
        row["label"] = _example_label(example, role, field, book)
        check_extent(kind, row)
        used.add(field)
    metadata = MetadataReader({name for name in used if name}, Findings()).read(index, example)
    return {**row, "metadata": metadata} if metadata else row


def _with_blank(example: Source, kind: RowKind, columns: Mapping[str, str]) -> Source:
    """A question with an empty place for the answer that the model is to write, where none was given."""
    for question, answer in (reading.needed for reading in ROW_FORMS[kind].readings if kind == COMPLETION.name):
        if _field(example, question, columns) and not _field(example, answer, columns):
            return {**example, columns.get(answer, answer): ""}
    return example


def _refuse_unreadable(example: Source, kind: RowKind, columns: Mapping[str, str], beside: Collection[str]) -> None:
    form = ROW_FORMS[kind]
    if form.label is not None:
        return
    unreadable = UNREADABLE.union(*(names for role, names in CONTEXT.items() if role not in form.context))
    for name, value in example.items():
        known = name in columns.values() or name in beside
        if not known and key_of(str(name)) in unreadable and not says_nothing(str(name), value):
            refuse_unreadable(str(name), value, kind, columns)


def _example_columns(
    example: Source, kind: RowKind, columns: Mapping[str, str], spared: Collection[str]
) -> dict[str, str]:
    """The field of each role; those of `spared` may be missing."""
    form = ROW_FORMS[kind]
    readings = (*form.readings, *form.of_lists)
    for reading in readings:
        fields = _fields(example, reading, form.context, columns)
        if fields.keys() >= set(reading.needed) - set(spared):
            return fields
    names = [str(name) for name in example]
    types = {str(name): frozenset({kind_of_value(value)}) for name, value in example.items()}
    guessed = choose_columns(names, types=types) if form.label is None else None
    if guessed is not None and guessed.kind == kind:
        return guessed.columns
    wanted = " or ".join(" + ".join(map(repr, reading.needed)) for reading in readings)
    own = ", ".join(repr(column) for role, column in columns.items() if role != "id" and column != role)
    raise ColumnsUnmatched(
        f"has no {wanted}.",
        hint=f"Give the fields {wanted}" + (f", or the data set's own columns {own}." if own else "."),
        extra={"columns_seen": [name[:80] for name in names if not UNWRITABLE.search(name)][:50]},
    )


def _fields(example: Source, reading: Roles, context: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    roles = (*reading.needed, *reading.optional, *context)
    return {role: field for role in roles if (field := _field(example, role, columns))}


def _field(example: Source, role: str, columns: Mapping[str, str]) -> str | None:
    return next((name for name in (columns.get(role), role) if name is not None and name in example), None)


def _label_field(example: Source, kind: RowKind, columns: Mapping[str, str]) -> tuple[str, str | None]:
    """Role and field of the label; a field called `label` is what the data set's own column is."""
    roles = ROW_FORMS[kind].label_roles
    own = next((role for role in roles if role in columns), roles[0])
    fields = {role: field for role in (own, *roles) if (field := _field(example, role, columns))}
    return next(iter(fields.items()), (own, "label" if "label" in example else None))


def _example_label(example: Source, role: str, field: str | None, book: Labels) -> Any:
    label = book.read(example[field], field, role=role, typed=True) if field else None
    if label is not None:
        book.check(label)
    return label


def _example_id(index: int, example: Source, columns: Mapping[str, str]) -> str:
    field = _field(example, "id", columns)
    return as_id(example[field], field) if field and example[field] is not None else f"example-{index}"

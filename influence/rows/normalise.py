"""Rows as they come -> rows in the normal form of their kind. Order is kept; no row is dropped or changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from influence.contracts.dataset import ROW_FORMS, MetadataType, RowKind, RowProblem
from influence.errors import BrokenRow, ColumnsAmbiguous, DatainfError, RowsRefused
from influence.rows.columns import ColumnMap
from influence.rows.content import Row, Source, read_content
from influence.rows.findings import NAMED_ROWS, Findings
from influence.rows.images.sources import ImageReader
from influence.rows.label_forms.all_rows import DatasetLabels
from influence.rows.label_forms.books import open_book
from influence.rows.label_forms.class_order import refuse_other_name
from influence.rows.label_forms.class_values import Form, as_class
from influence.rows.label_forms.tags import check_extent
from influence.rows.metadata import MetadataReader
from influence.rows.repeats import HashList
from influence.rows.roles import CLASS
from influence.rows.unfit.cells import refuse_unreadable, says_nothing
from influence.rows.values import as_id, is_kept_from_running


class NormalisedRows:
    """A stream of normalised rows, to be iterated once.

    `label_names`, `label_form`, `metadata_columns` and `problems` are complete after the last row. Raises BrokenRow,
    ColumnsAmbiguous and RowsRefused with the row's index, counted from 0, in `extra["row_index"]` or
    `extra["row_indexes"]`.
    """

    def __init__(
        self,
        source: Iterable[Source],
        columns: ColumnMap,
        label_names: Sequence[str] | None,
        *,
        numbered: bool,
        text_types: Mapping[str, MetadataType] | None,
        filled: bool,
        images: ImageReader | None,
    ) -> None:
        self.kind: RowKind = columns.kind
        self._images = images
        self._columns = columns.columns
        self._unreadable = columns.unreadable
        self._source = source
        self._typed = text_types is None
        self._filled = filled
        self._findings = Findings()
        # Names that are given leave a column of names nothing to do but to agree.
        self._label_name = columns.label_name if label_names is None else None
        self._named_twice = None if label_names is None else columns.label_name
        roles = ROW_FORMS[columns.kind].label_roles
        self._label_role = next((role for role in roles if role in columns.columns), None)
        book = open_book(columns.kind, label_names, numbered=numbered)
        self._labels = DatasetLabels(
            book,
            columns.columns[self._label_role] if self._label_role else "",
            self._findings,
            role=self._label_role or "",
            naming_column=self._label_name,
        )
        used = {*columns.columns.values(), *([self._label_name] if self._label_name else [])}
        self._metadata = MetadataReader(used, self._findings, text_types=text_types, filled=filled)
        self._ids = HashList() if "id" in columns.columns else None

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """Class names in order, or None where they are not known."""
        return self._labels.names()

    @property
    def label_facts(self) -> dict[str, int]:
        """What is known of the labels beside names and counts, after the last row."""
        return self._labels.facts()

    @property
    def label_form(self) -> Form | None:
        """How the labels were written: as class numbers, as truth values or as names."""
        return self._labels.form

    @property
    def metadata_columns(self) -> dict[str, MetadataType]:
        """Columns that play no role, with the type of their values."""
        return self._metadata.columns()

    @property
    def problems(self) -> tuple[RowProblem, ...]:
        """What is worth knowing about how the rows were read."""
        return self._findings.problems()

    def __iter__(self) -> Iterator[Row]:
        for index, source in enumerate(self._source):
            try:
                yield self._row(index, source)
            except (BrokenRow, ColumnsAmbiguous, RowsRefused) as error:
                raise at_place("Row", "row_index", index, error) from error
        self._labels.finish()
        self._refuse_repeated_ids()

    def _row(self, index: int, source: Source) -> Row:
        columns = self._columns
        self._refuse_unreadable(source)
        row: Row = {"id": self._id(index, source)}
        row |= self._image(index, source)
        if "instruction" in columns:
            for role in ("instruction", "input"):
                if role in columns:
                    self._findings.note("prompts_made", columns[role], index)
        note = partial(self._findings.note, row=index)
        if not self._typed:
            for column in columns.values():
                if is_kept_from_running(source.get(column)):
                    note("quotes_before_signs", column)
        row |= read_content(source, columns, self.kind, filled=self._filled, note=note)
        if self._label_role is not None:
            name = source.get(self._label_name) if self._label_name else None
            row["label"] = self._labels.add(index, source.get(columns[self._label_role]), name, typed=self._typed)
            if self._named_twice is not None:
                refuse_other_name(row["label"], source.get(self._named_twice), self._named_twice, self.label_names)
            check_extent(self.kind, row)
        if CLASS in columns:
            row[CLASS] = as_class(source.get(columns[CLASS]), columns[CLASS], typed=self._typed)
        if metadata := self._metadata.read(index, source):
            row["metadata"] = metadata
        return row

    def _image(self, index: int, source: Source) -> Row:
        if "image" not in self._columns:
            return {}
        assert self._images is not None, "rows with images need a reader of images"
        column = self._columns["image"]
        found = self._images.read(source.get(column), column)
        if found.lost_alpha:
            self._findings.note("alpha_left_out", found.mode, index)
        return {"image": found.field}

    def _refuse_unreadable(self, source: Source) -> None:
        for column in self._unreadable & source.keys():
            if not says_nothing(column, source[column]):
                refuse_unreadable(column, source[column], self.kind, self._columns)

    def _id(self, index: int, source: Source) -> str:
        if self._ids is None:
            return row_id(index)
        column = self._columns["id"]
        name = as_id(source.get(column), column)
        self._ids.add(name.encode())
        return name

    def _refuse_repeated_ids(self) -> None:
        if self._ids is not None and (repeats := self._ids.repeats()).size:
            rows = [int(row) for row in repeats[:NAMED_ROWS]]
            raise RowsRefused(
                f"{repeats.size} rows repeat the id of an earlier row, the first is row {rows[0]}.",
                hint='Make the ids unique, or send columns with "id": "" for ids made from row numbers.',
                extra={"row_indexes": rows, "count": int(repeats.size)},
            )


def normalise_rows(
    source: Iterable[Source],
    columns: ColumnMap,
    *,
    label_names: Sequence[str] | None = None,
    numbered: bool = False,
    text_types: Mapping[str, MetadataType] | None = None,
    filled: bool = False,
    images: ImageReader | None = None,
) -> NormalisedRows:
    """Stream rows in normal form; `images` takes up those of rows that have one.

    `numbered`: the label names came with the class numbers. `text_types`: every value is a string (CSV), and this is
    what those of each column are. `filled`: objects are filled with nulls (Parquet).
    """
    return NormalisedRows(
        source, columns, label_names, numbered=numbered, text_types=text_types, filled=filled, images=images
    )


def row_id(index: int) -> str:
    """The id of a row that brought none."""
    return f"row-{index:08d}"


def at_place(noun: str, key: str, index: int, error: DatainfError) -> DatainfError:
    """The same error with the place it happened at."""
    return type(error)(f"{noun} {index}: {error.detail}", hint=error.hint, extra={**error.extra, key: index})

"""Decisions that come back from elsewhere: Label Studio's JSON, or CSV or JSON lines with an `action` column."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.datasets.rows.cells import column_of, flat_cells, own_column
from app.http.strict_json import parse_json
from app.http.table_stream import expose
from app.reviews.argilla import read_record
from app.reviews.decide import label_writer
from app.reviews.label_studio import READ_TEXT, REMOVE_CHOICE, text_of
from app.reviews.labels import LabelWriter
from influence.contracts.common import Json
from influence.contracts.curation.review import MAX_NOTE_CHARACTERS, DecisionChange, DecisionsAnswer, Review
from influence.contracts.dataset import Dataset
from influence.errors import InvalidRequest, LabelUnknown, UnreadableFile
from influence.rows.file import RowFile
from influence.store.data.files import Files
from influence.store.store import Store

_ACTIONS = ("keep", "relabel", "remove", "later")


def take_back(store: Store, files: Files, review: Review, path: Path, by: str | None) -> DecisionsAnswer:
    """Apply the decisions of a file. Rows are named by `row_index`, or by `row_id`.

    All or nothing. Raises UnreadableFile, InvalidRequest (a row or an action that is not known), LabelUnknown,
    LabelOutOfRange.
    """
    with RowFile(files.dataset(review.dataset_id)) as file:
        dataset = store.datasets.require(review.dataset_id)
        finder, writer = _RowFinder(file, dataset), label_writer(store, files, review)
        changes = {}
        for at, entry in enumerate(read_entries(path)):
            change = _change(writer, file, finder, at, entry)
            if change is not None:
                changes[change.row_index] = change
    if not changes:
        raise UnreadableFile("The file holds no decisions.", hint="See GET /export with mode 'annotated' for the form.")
    applied, version, _ = store.review_data.change(review.id, list(changes.values()), by=by, known=None)
    return DecisionsAnswer(applied=applied, version=version)


_NUMBER = re.compile(r"[0-9]{1,18}")


class _RowFinder:
    """Row indexes by row id, which are read once, when the first is asked for; what else an entry has of a row has to
    be that row's, or the file is of other rows."""

    def __init__(self, file: RowFile, dataset: Dataset) -> None:
        self._file = file
        self._dataset = dataset
        self._id_columns = dict.fromkeys(("row_id", self._column("id"), "id"))
        self._indexes: dict[str, int] | None = None

    def _column(self, field: str) -> str:
        """What an annotated export calls a field of the data set's own."""
        return own_column(column_of(self._dataset, field), with_decision=True)

    def find(self, entry: Mapping[str, Any], at: int) -> int:
        """The row of an entry. Raises InvalidRequest."""
        found = self._find(entry, at)
        self._refuse_other_row(entry, at, found)
        return found

    def _find(self, entry: Mapping[str, Any], at: int) -> int:
        given = entry.get("row_index")
        if given not in (None, ""):
            if _NUMBER.fullmatch(str(given)) and int(given) < len(self._file):
                return int(given)
            raise InvalidRequest(f"Entry {at}: there is no row {str(given)[:40]!r}.", hint=_ROWS_HINT)
        if self._indexes is None:
            self._indexes = {str(row["id"]): index for index, row in enumerate(self._file)}
        row_id = self._id_of(entry) or ""
        if row_id not in self._indexes:
            raise InvalidRequest(f"Entry {at}: there is no row with the id {row_id[:80]!r}.", hint=_ROWS_HINT)
        return self._indexes[row_id]

    def _id_of(self, entry: Mapping[str, Any]) -> str | None:
        return next((str(entry[name]) for name in self._id_columns if entry.get(name) not in (None, "")), None)

    def _refuse_other_row(self, entry: Mapping[str, Any], at: int, row_index: int) -> None:
        """Raise InvalidRequest where an entry's id, or its text, conversation or picture, is not the row's."""
        (row,) = self._file.read(row_index, row_index + 1)
        row_id, cells = self._id_of(entry), flat_cells(self._dataset, row_index, row, with_decision=True)
        columns = [self._column(name) for name in row if name not in _NOT_READ]
        pairs = [(entry.get(column), cells[column]) for column in columns if isinstance(cells[column], str)]
        pairs += [(entry.get(READ_TEXT), text_of(self._dataset, row))]
        is_other = any(isinstance(told, str) and not _are_alike(told, word) for told, word in pairs)
        if is_other or (row_id is not None and row_id != str(row["id"])):
            raise InvalidRequest(
                f"Entry {at}: row {row_index} is {str(row['id'])[:80]!r} here, and the file has another row there"
                + (f", {row_id[:80]!r}." if row_id not in (None, str(row["id"])) else ", of another text."),
                hint="The file is of other rows: import it into a review of the data set that it was exported from.",
            )


def _are_alike(told: str, word: str) -> bool:
    """Whether a text is a row's, whatever a spreadsheet did to its spaces and to all beyond what a cell holds."""
    told, word = "".join(told[:_CELL_CHARACTERS].split()), "".join(word.split())
    return word.startswith(told) if len(told) < len(word) and len(told) >= _CELL_CHARACTERS // 2 else told == word


#: Less than what spreadsheets keep of a cell.
_CELL_CHARACTERS = 30_000
#: Fields of a row that say nothing of what it holds.
_NOT_READ = frozenset({"id", "label", "metadata"})
_ROWS_HINT = "Give 'row_index' or 'row_id' as an export of this review has them."


def read_entries(path: Path) -> Iterator[Json]:
    """Entries {row_index or row_id, action or choice, label, note}."""
    with path.open("rb") as file:
        start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    try:
        if start.startswith(b"["):
            yield from map(_from_tool, parse_json(path.read_bytes()))
        elif start.startswith(b"{"):
            with path.open(encoding="utf-8-sig") as lines:
                yield from (_object(parse_json(line)) for line in lines if line.strip())
        else:
            # A text may be longer than the 128 KiB that Python's reader takes by itself; the upload's size is bounded.
            csv.field_size_limit(max(csv.field_size_limit(), path.stat().st_size))
            with path.open(encoding="utf-8-sig", newline="") as lines:
                yield from ({name: expose(cell) for name, cell in entry.items()} for entry in csv.DictReader(lines))
    except (InvalidRequest, ValueError, csv.Error, AttributeError, TypeError, KeyError) as error:
        raise UnreadableFile(
            f"The decisions cannot be read: {str(error)[:200]}.",
            hint="Send Label Studio's JSON export, Argilla's records.json, or CSV or JSON lines with the columns "
            "row_index and action.",
        ) from error


def _object(entry: Any) -> Json:
    if not isinstance(entry, dict):
        raise TypeError("a line is no JSON object")
    return entry


def _from_tool(entry: Json) -> Json:
    """An entry of Label Studio's export, or of Argilla's records."""
    return read_record(entry) if "fields" in entry else _from_label_studio(entry)


def _from_label_studio(task: Json) -> Json:
    """A task of an export. Tasks that nobody has annotated say nothing."""
    data = task["data"]
    made = [one for one in task.get("annotations") or [] if not one.get("was_cancelled")]
    results = [result for one in made[-1:] for result in one.get("result") or []]
    choices = [choice for result in results for choice in (result.get("value") or {}).get("choices") or []]
    named = {"row_index": data.get("row_index"), "row_id": data.get("row_id"), READ_TEXT: data.get("text")}
    return {**named, "choice": choices[0] if len(choices) == 1 else None, "choices": len(choices)}


def _change(writer: LabelWriter, file: RowFile, finder: _RowFinder, at: int, entry: Json) -> DecisionChange | None:
    if "choices" in entry:
        return _from_choice(writer, file, finder, at, entry)
    action = entry.get("action")
    if action in (None, ""):
        return None
    if action not in _ACTIONS:
        raise InvalidRequest(f"Entry {at}: the action {str(action)[:40]!r} is not known.", hint=f"Use {_LISTED}.")
    row_index = finder.find(entry, at)
    label = None
    if action == "relabel":
        label = entry.get("reviewed_label")  # class 0 is a label, an empty cell is none
        if label in (None, "") or not isinstance(label, int | str):
            raise InvalidRequest(f"Entry {at}: 'relabel' without a label.", hint="Fill the column 'reviewed_label'.")
        label = writer.write(label)
    note = str(entry.get("note") or "")[:MAX_NOTE_CHARACTERS] or None
    return DecisionChange(row_index=row_index, action=action, label=label, note=note)


_LISTED = f"{', '.join(_ACTIONS[:-1])} or {_ACTIONS[-1]}"


def _from_choice(writer: LabelWriter, file: RowFile, finder: _RowFinder, at: int, entry: Json) -> DecisionChange | None:
    if entry["choices"] == 0:
        return None
    row_index = finder.find(entry, at)
    choice = entry["choice"]
    if choice is None:
        raise InvalidRequest(f"Entry {at}: {entry['choices']} choices for one row.", hint="Choose one label per row.")
    if choice == REMOVE_CHOICE:
        return DecisionChange(row_index=row_index, action="remove")
    try:
        label = writer.write(choice)
    except LabelUnknown as error:
        raise LabelUnknown(f"Entry {at}: {error.detail}", hint=error.hint) from error
    if label == file.read(row_index, row_index + 1)[0].get("label"):
        return DecisionChange(row_index=row_index, action="keep")
    return DecisionChange(row_index=row_index, action="relabel", label=label)

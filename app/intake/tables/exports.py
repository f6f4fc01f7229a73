"""Exports of annotation tools -> one flat row per record. What is not unambiguous is left to be refused as labels are.

argilla        records with `fields` and `responses` (Python or JSON export), or flattened with `<question>.responses`:
               fields and answers become columns of their own; answers that differ become a list, which is no label,
               and a label that was there before the answers is metadata
label-studio   tasks with `data` and `annotations`: the fields of `data`, and every choice or list of spans under its
               control's name; JSON-MIN and CSV are flat already
prodigy        tasks with `answer`: the label, the choice or the spans of those that were accepted; a rejected or
               ignored one has no label
openai         preference data of its fine-tuning: input, preferred_output and non_preferred_output become a pair
cleanlab       tables with `given_label`: the label that the model was trained on
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.intake.tables.limits import Source, TableLimits
from app.intake.tables.table import Table, scan_rows
from influence.contracts.dataset import Export
from influence.errors import UnreadableFile
from influence.rows.roles import SYNONYMS, key_of

_RESPONSES = ".responses"
_TAKEN_STATUS = (None, "submitted")
_MIN_COLUMNS = frozenset({"annotation_id", "annotator", "lead_time"})
_OF_PRODIGY = frozenset({"_input_hash", "_task_hash"})
_OPENAI = frozenset({"input", "preferred_output", "non_preferred_output"})
_CLEANLAB = frozenset({"is_label_issue", "label_score", "label_quality", "predicted_label"})


def read_export(table: Table, limits: TableLimits) -> Table:
    """The table, or the flat rows of the export that it is. Raises UnreadableFile for tables of issues without rows."""
    columns = frozenset(table.columns)
    if {"fields", "responses"} <= columns and "object" in table.types.get("fields", ()):
        return _flattened(table, "argilla", _flatten_argilla, limits)
    if any(name.endswith(_RESPONSES) for name in columns):
        return _flattened(table, "argilla", _join_responses, limits)
    if {"data", "annotations"} <= columns and "object" in table.types.get("data", ()):
        return _flattened(table, "label-studio", _flatten_label_studio, limits)
    if columns & _OF_PRODIGY and "answer" in columns:
        return _flattened(table, "prodigy", _flatten_prodigy, limits)
    if columns >= _OPENAI and "object" in table.types.get("input", ()):
        return _flattened(table, "openai", _flatten_openai, limits)
    if len(columns & _MIN_COLUMNS) > 1:
        return _marked(table, "label-studio")
    if "given_label" in columns and columns & _CLEANLAB:
        _refuse_issues_alone(table.columns)
        return _marked(table, "cleanlab")
    return table


def name_label(table: Table, wanted: Mapping[str, str] | None) -> dict[str, str] | None:
    """The columns wanted, with the label that an export names in its own way."""
    if table.format.export != "cleanlab" or "label" in table.columns or (wanted and "label" in wanted):
        return dict(wanted) if wanted is not None else None
    return {**(wanted or {}), "label": "given_label"}


def _marked(table: Table, export: Export) -> Table:
    return replace(table, format=table.format.model_copy(update={"export": export}))


def _flattened(table: Table, export: Export, flatten: Callable[[Source], Source], limits: TableLimits) -> Table:
    def rows(_: Sequence[str]) -> Iterator[Source]:
        return map(flatten, table.rows(table.columns))

    scan = scan_rows(rows(()), limits)
    # Texts of a flat export are what they were; columns that came out of lists hold texts.
    return replace(_marked(table, export), columns=scan.columns, types=scan.types, rows=rows, only_row=None)


def _flatten_argilla(record: Source) -> Source:
    fields, responses = _object(record.get("fields")), _object(record.get("responses"))
    answers = {str(question): _agreed(_taken(given)) for question, given in responses.items()}
    metadata = _object(record.get("metadata"))
    suggestions = {
        f"{question}.suggestion": made.get("value") if isinstance(made, Mapping) else made
        for question, made in _object(record.get("suggestions")).items()
    }
    rest = {name: value for name, value in record.items() if name not in _ARGILLA_PARTS}
    return _merged(rest, answers, _beside(fields, "fields", answers), metadata, suggestions)


_ARGILLA_PARTS = frozenset({"fields", "responses", "metadata", "suggestions"})


def _taken(given: Any) -> list[Any]:
    """Values of the responses that were submitted."""
    items = given if isinstance(given, list | tuple) else [given]
    return [
        item.get("value") if isinstance(item, Mapping) else item
        for item in items
        if not isinstance(item, Mapping) or item.get("status") in _TAKEN_STATUS
    ]


def _join_responses(row: Source) -> Source:
    """`label.responses: ["spam", "spam"]` -> `label: "spam"`; who answered stays beside it."""
    answers = {}
    for name in [name for name in row if name.endswith(_RESPONSES)]:
        values, statuses = _items(row[name]), _items(row.get(f"{name}.status"))
        if len(statuses) == len(values):
            values = [value for value, status in zip(values, statuses, strict=True) if status in _TAKEN_STATUS]
        answers[name.removesuffix(_RESPONSES)] = _agreed(values)
    rest = {name: value for name, value in row.items() if not name.endswith(_RESPONSES)}
    return _merged(answers, _beside(rest, "given", answers))


def _flatten_label_studio(task: Source) -> Source:
    rest = {name: value for name, value in task.items() if name not in ("data", "annotations")}
    made = [item for item in _items(task.get("annotations")) if isinstance(item, Mapping)]
    results = [_items(item.get("result")) for item in made if not item.get("was_cancelled")]
    answers: dict[str, list[Any]] = {}
    for result in results:
        for control, values in _choices(result).items():
            answers.setdefault(control, []).append(values if _are_spans(values) else _single(values))
    agreed = {name: _agreed(values) for name, values in answers.items()}
    return _merged(rest, agreed, _beside(_object(task.get("data")), "data", agreed))


def _flatten_openai(row: Source) -> Source:
    asked = _object(row.get("input"))
    pair = {"prompt": asked.get("messages"), "chosen": row["preferred_output"], "rejected": row["non_preferred_output"]}
    rest = {name: value for name, value in asked.items() if name != "messages"}
    return _merged(pair, {name: value for name, value in row.items() if name not in _OPENAI}, rest)


def _choices(result: Sequence[Any]) -> dict[str, list[Any]]:
    """Control -> what was chosen, in one annotation; what is no choice keeps its whole value."""
    found: dict[str, list[Any]] = {}
    for item in result:
        if isinstance(item, Mapping) and isinstance(value := item.get("value"), Mapping):
            control = str(item.get("from_name") or item.get("type") or "label")
            found.setdefault(control, []).extend(_items(value.get("choices")) if "choices" in value else [_span(value)])
    return found


def _span(value: Mapping[str, Any]) -> dict[str, Any]:
    """Characters with one name as a span; anything else as it is."""
    names = _items(value.get("labels"))
    if len(names) == 1 and {"start", "end"} <= value.keys():
        return {"start": value["start"], "end": value["end"], "label": names[0]}
    return dict(value)


def _are_spans(values: Sequence[Any]) -> bool:
    return bool(values) and all(
        isinstance(item, Mapping) and item.keys() == {"start", "end", "label"} for item in values
    )


def _flatten_prodigy(task: Source) -> Source:
    is_taken = task.get("answer") == "accept"
    rest = {name: value for name, value in task.items() if name not in _PRODIGY_PARTS}
    answers: dict[str, Any] = {}
    if "accept" in task:
        answers["label"] = _single(_items(task["accept"])) if is_taken and task["accept"] else None
    elif "label" in task:
        answers["label"] = task["label"] if is_taken else None
    if "spans" in task:
        spans = [item for item in _items(task["spans"]) if isinstance(item, Mapping)]
        kept = [{name: span.get(name) for name in ("start", "end", "label")} for span in spans]
        answers["spans"] = kept if is_taken else None
    return _merged(rest, answers, {"prodigy_answer": task.get("answer")})


_PRODIGY_PARTS = frozenset({"accept", "answer", "config", "label", "options", "spans", "tokens"})


def _single(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _agreed(values: Sequence[Any]) -> Any:
    """The one value that all give; nothing where there is none; where they differ a list of each by itself, which is
    no label: not that of several classes either."""
    different = [value for place, value in enumerate(values) if value not in values[:place]]
    if len(different) > 1:
        return [[value] for value in different]
    return different[0] if different else None


def _beside(row: Mapping[str, Any], part: str, answers: Mapping[str, Any]) -> Source:
    """What was there before the answers, under `<part>.<name>` where it may be read as one: an annotator's answer is
    what was trained on, not the label that it replaced."""
    labels = set(map(key_of, answers)) | (set(SYNONYMS["label"]) if answers else set())
    return {f"{part}.{name}" if key_of(str(name)) in labels else str(name): value for name, value in row.items()}


def _merged(*parts: Mapping[str, Any]) -> Source:
    """Parts as one row, the first with a name keeping it; a later one of the same name is kept as `<name>_2`."""
    row: Source = {}
    for part in parts:
        for name, value in part.items():
            key, place = str(name), 2
            while key in row and row[key] != value:
                key, place = f"{name}_{place}", place + 1
            row[key] = value
    return row


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> list[Any]:
    """A list, also one that CSV holds as JSON."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return [value]
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _refuse_issues_alone(columns: Sequence[str]) -> None:
    known = _CLEANLAB | {"given_label", "index", "unnamed_0", "id"}
    if all(name in known or name.startswith("is_") or name.endswith("_score") for name in columns):
        raise UnreadableFile(
            "The file is a cleanlab table of label issues: it holds no texts.",
            hint="Join it with the rows by their index, so that the texts stand beside 'given_label', and send that.",
            extra={"columns_seen": list(columns)[:50]},
        )

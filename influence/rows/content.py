"""What a row says, in the normal form of its kind: all that a score depends on but the label."""

from collections.abc import Mapping
from typing import Any

from influence.contracts.dataset import CONVERSATION, PREFERENCE, RowKind
from influence.errors import BrokenRow
from influence.rows.conversations.context import is_empty, is_word_for_nothing, read_context
from influence.rows.conversations.messages import alpaca_prompt, as_messages
from influence.rows.conversations.preferences import read_preference
from influence.rows.findings import Note, notes_nothing
from influence.rows.label_forms.tags import as_tokens
from influence.rows.values import as_text, describe

Source = Mapping[str, Any]
Row = dict[str, Any]


def read_content(
    source: Source,
    columns: Mapping[str, str],
    kind: RowKind,
    *,
    filled: bool = False,
    note: Note = notes_nothing,
) -> Row:
    """The fields of a row beside id, image, label and metadata. Raises BrokenRow without a row number.

    `filled` says that the source fills objects with nulls, as Parquet does.
    """
    if kind == CONVERSATION.name:
        return _conversation(source, columns, filled, note)
    if kind == PREFERENCE.name:
        return read_preference(source, columns, filled=filled, note=note)
    if "tokens" in columns:
        return {"tokens": as_tokens(source.get(columns["tokens"]), columns["tokens"])}
    if "prompt" in columns:
        return {role: as_text(source.get(columns[role]), columns[role]) for role in ("prompt", "completion")}
    if "instruction" in columns:
        return _alpaca(source, columns, note)
    return {
        role: as_text(source.get(columns[role]), columns[role]) for role in ("text", "text_pair") if role in columns
    }


def _conversation(source: Source, columns: Mapping[str, str], filled: bool, note: Note) -> Row:
    if "prompt" not in columns:
        column = columns.get("messages") or columns["conversations"]
        messages = as_messages(source.get(column), column, filled=filled, note=note)
        return read_context(source, columns, messages, filled=filled, note=note)
    prompt, completion = (
        _part(source.get(columns[role]), columns[role], filled, note) for role in ("prompt", "completion")
    )
    row = read_context(source, columns, [*prompt, *completion], filled=filled, note=note)
    return {**row, "completion_from": len(row["messages"]) - len(completion)}


def _part(value: Any, column: str, filled: bool, note: Note) -> list[dict[str, Any]]:
    if not isinstance(value, list | tuple):
        raise BrokenRow(
            f"column {column!r} holds {describe(value)} where a list of messages is needed.",
            hint="Write prompt and completion both as lists of messages, in every row, or both as text.",
        )
    return as_messages(value, column, filled=filled, note=note)


def _alpaca(source: Source, columns: Mapping[str, str], note: Note) -> Row:
    given = source.get(columns["input"]) if "input" in columns else None
    if is_word_for_nothing(given):
        note("words_for_nothing", columns["input"])
    return {
        "prompt": alpaca_prompt(
            as_text(source.get(columns["instruction"]), columns["instruction"]),
            "" if is_empty(given) and not isinstance(given, str) else as_text(given, columns["input"]),
        ),
        "completion": as_text(source.get(columns["output"]), columns["output"]),
    }

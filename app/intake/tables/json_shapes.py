"""JSON that holds rows in another way than one object per row: what it is, and how to turn it."""

from collections.abc import Mapping
from typing import Any

from influence.errors import DatainfError, UnreadableFile
from influence.rows.values import are_messages

#: Fields of one row that hold lists of objects.
_OF_ROWS = frozenset(
    {"answers", "chat", "choices", "chosen", "completion", "completions", "contents", "context", "entities"}
    | {"non_preferred_output", "options", "preferred_output", "prompt", "rejected", "segments", "spans", "tools"}
    | {"turns"}
)
_RECORDS = 'df.to_json("rows.jsonl", orient="records", lines=True)'


def refuse_columns_of_rows(value: Mapping[str, Any]) -> None:
    """Raise UnreadableFile for a lone object that holds whole columns instead of one row."""
    for told, is_it in (
        ("a data frame with orient='split'", _is_split(value)),
        ("a data frame with orient='table'", {"schema", "data"} <= value.keys() and isinstance(value["data"], list)),
        ("a data frame with orient='index'", _is_index(value)),
        ("a data frame with orient='columns'", _is_columns(value)),
        ("one list per column", _is_lists(value)),
    ):
        if is_it:
            raise UnreadableFile(
                f"The file is one JSON object that holds columns, not rows: {told}.",
                hint=f"Write one object per row, such as with {_RECORDS}, or with Dataset.to_json.",
                extra={"columns_seen": [str(key)[:80] for key in value][:50]},
            )


def name_wrapper(value: Mapping[str, Any], error: DatainfError) -> DatainfError:
    """The error, or a better one where the rows of a lone object lie as a list under one of its fields."""
    under = [key for key, items in value.items() if key not in _OF_ROWS and _are_rows(items)]
    if not under:
        return error
    return UnreadableFile(
        f"The file is one JSON object; what look like its rows are under {', '.join(repr(key[:80]) for key in under)}.",
        hint=f"Send that list alone, as a JSON array: json.dump(content[{under[0][:80]!r}], file).",
        extra={"columns_seen": [str(key)[:80] for key in value][:50]},
    )


def _is_split(value: Mapping[str, Any]) -> bool:
    return (
        {"columns", "data"} <= value.keys() and isinstance(value["columns"], list) and isinstance(value["data"], list)
    )


def _is_index(value: Mapping[str, Any]) -> bool:
    return bool(value) and all(
        key.isdigit() and isinstance(item, Mapping) and bool(item) for key, item in value.items()
    )


def _is_columns(value: Mapping[str, Any]) -> bool:
    return bool(value) and all(
        isinstance(item, Mapping) and bool(item) and all(str(key).isdigit() for key in item) for item in value.values()
    )


def _is_lists(value: Mapping[str, Any]) -> bool:
    """Lists of one length under two or more names, or of several plain values under one."""
    if "input_ids" in value:  # a row of token ids is told as what it is
        return False
    words = value.get("tokens", value.get("words"))
    if isinstance(words, list) and all(isinstance(word, str) for word in words):  # a row; a column would hold lists
        return False
    if not value or any(not isinstance(items, list) or not items or are_messages(items) for items in value.values()):
        return False
    if len({len(items) for items in value.values()}) != 1:
        return False
    plain = all(not isinstance(item, Mapping | list) for items in value.values() for item in items)
    return len(value) > 1 if not plain else all(len(items) > 1 or len(value) > 1 for items in value.values())


def _are_rows(items: Any) -> bool:
    if isinstance(items, Mapping):
        return _is_lists(items) or _is_columns(items) or _is_split(items)
    return isinstance(items, list) and bool(items) and all(isinstance(item, Mapping) for item in items)

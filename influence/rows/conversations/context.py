"""What a chat template reads beside the messages: a system prompt, tools, documents, arguments of its own."""

from collections.abc import Mapping
from typing import Any

from influence.errors import BrokenRow
from influence.rows.conversations.messages import note_nulls, parse_json
from influence.rows.findings import Note, notes_nothing
from influence.rows.label_forms.class_values import MISSING_WORDS
from influence.rows.values import as_json, as_text, describe

#: Arguments of the call that renders a conversation: rows have no say in them.
_OF_THE_CALL = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "max_length",
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "strftime_now",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    }
)
_OBJECTS = ("tools", "documents", "chat_template_kwargs")
Messages = list[dict[str, Any]]


def read_context(
    source: Mapping[str, Any],
    columns: Mapping[str, str],
    messages: Messages,
    *,
    filled: bool,
    note: Note = notes_nothing,
) -> dict[str, Any]:
    """`messages` with the system prompt before them; tools, documents and template arguments where a row has any."""
    system = source.get(columns["system"]) if "system" in columns else None
    if is_word_for_nothing(system):
        note("words_for_nothing", columns["system"])
    if filled:
        note_nulls({columns[role]: source.get(columns[role]) for role in _OBJECTS if role in columns}, note)
    found: dict[str, Any] = {"messages": with_system(system, columns, messages)}
    for role in ("tools", "documents"):
        if role in columns and (items := as_objects(source.get(columns[role]), columns[role], role, filled=filled)):
            found[role] = items
    if "chat_template_kwargs" in columns:
        column = columns["chat_template_kwargs"]
        if arguments := as_arguments(source.get(column), column, filled=filled):
            found["chat_template_kwargs"] = arguments
    return found


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing that could have been read."""
    return value is None or value != value or (isinstance(value, str) and value.strip() in _EMPTY) or value in ([], {})


_EMPTY = ("", "[]", "{}", "null")


def is_word_for_nothing(value: Any) -> bool:
    """Whether a text is a word such as 'nan' or 'None', which tools write where there was nothing."""
    return isinstance(value, str) and value.strip().lower() in MISSING_WORDS


def as_objects(value: Any, column: str, role: str, *, filled: bool) -> list[Any]:
    """Tools or documents: a list of objects, or a JSON string of one."""
    if is_empty(value):
        return []
    found = parse_json(value, column, what="list of objects") if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(item, Mapping) for item in found):
        raise BrokenRow(
            f"column {column!r} holds {describe(value)} where {role} are needed.",
            hint=f'{role.capitalize()} are a list of objects. Send columns with "{role}": "" if no chat template read '
            "the column: it then stays with the rows as metadata.",
        )
    kept: list[Any] = as_json(found, column, filled=filled)
    return kept


def as_arguments(value: Any, column: str, *, filled: bool) -> dict[str, Any]:
    """Arguments of the chat template: an object, or a JSON string of one."""
    if is_empty(value):
        return {}
    found = parse_json(value, column, what="object") if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise BrokenRow(
            f"column {column!r} holds {describe(value)} where an object is needed.",
            hint='Arguments of the chat template are an object such as {"enable_thinking": false}.',
        )
    if taken := sorted(map(str, found.keys() & _OF_THE_CALL)):
        raise BrokenRow(
            f"column {column!r} sets {taken[0]!r}, which is no argument of a chat template.",
            hint="Tools and documents have columns of their own; the template is the checkpoint's.",
        )
    kept: dict[str, Any] = as_json(found, column, filled=filled)
    return kept


def with_system(value: Any, columns: Mapping[str, str], messages: Messages) -> Messages:
    """Messages with a system prompt from a column of its own before them. Raises BrokenRow where they have another."""
    if value is None or value == "" or value != value:
        return messages
    system = as_text(value, columns["system"])
    first = messages[0]
    if first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": system}, *messages]
    if first.get("content") != system:
        raise BrokenRow(
            f"column {columns['system']!r} holds a system prompt, and the messages begin with another.",
            hint='Keep one of them; send columns with "system": "" for the one in the messages.',
        )
    return messages

"""Conversations and instructions in their normal form: every field of a message that a template may read stays."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from influence.errors import BrokenRow
from influence.rows.conversations.loss_marks import LOSS_FIELDS, check_loss_marks
from influence.rows.findings import Note, notes_nothing
from influence.rows.roles import MEDIA
from influence.rows.values import WrittenObject, as_json, as_text, describe, holds_nulls, kind_of_value

#: Roles that chat templates know, kept as they are written.
ROLES = ("system", "developer", "user", "assistant", "tool", "function", "ipython", "observation")
#: What a speaker is called in published data sets -> the role that it is for chat templates.
_RENAMED = {"human": "user", "gpt": "assistant", "model": "assistant", "tool_response": "tool"}
#: The same where the speaker stands under `from`, as in ShareGPT's form.
_SPEAKERS = {"function": "tool", "observation": "tool"}
#: Speakers whose words are calls of functions, written as JSON.
_CALLERS = ("function_call", "tool_call")
_TEXT_PART = "text"
#: Where a message keeps the texts of a content that came as a list of parts; `content` has them put together.
PARTS = "content_parts"
_OWN_FIELDS = frozenset({"role", "from", "content", "value", PARTS})
#: Fields that say what a turn without content holds.
_IN_PLACE_OF_CONTENT = frozenset(
    {"function_call", "reasoning", "reasoning_content", "refusal", "thinking", "tool_calls", "tool_plan"}
    | {"tool_responses", "tool_results"}
)
#: Fields that templates are known to read, and loss marks, which none reads.
_READ = _IN_PLACE_OF_CONTENT.union(LOSS_FIELDS, {"name", "tool_call_id"})
#: Fields that a trainer may have taken the words from where the content is empty: no chat template reads them.
_WORDS_ELSEWHERE = (
    *("answer", "body", "completion", "input", "message", "output", "parts", "prompt", "response", "sentence"),
    *("text", "utterance", "words"),
)
_MEDIA = MEDIA | {"attachments", "experimental_attachments"}

_MEDIA_HINT = (
    "Only text can be scored: drop rows with pictures or sound; write a part of text as "
    '{"type": "text", "text": "..."}, and what was thought as "reasoning_content" of the message.'
)

# The prompts of the Stanford Alpaca recipe, byte for byte: a model tuned on them knows no other form.
_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{}\n\n### Input:\n{}\n\n### Response:\n"
)
_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{}\n\n### Response:\n"
)


def alpaca_prompt(instruction: str, given: str) -> str:
    """The standard Alpaca prompt; the shorter form where there is no input."""
    return _WITH_INPUT.format(instruction, given) if given else _WITHOUT_INPUT.format(instruction)


def as_messages(value: Any, column: str, *, filled: bool = False, note: Note = notes_nothing) -> list[dict[str, Any]]:
    """A conversation as `[{role, content, ...}]`.

    From role/content or from/value messages, a struct of lists (which is how Arrow stores a sequence of dicts), or a
    JSON string of either. `filled` is as in `as_json`; `note` hears what is worth knowing.
    """
    if isinstance(value, str):
        value = parse_json(value, column, what="list of messages")
    if isinstance(value, Mapping):
        value = _unzipped(value, column)
    if not isinstance(value, list | tuple) or not value:
        raise BrokenRow(f"column {column!r} holds {describe(value)} where messages are needed.", hint=_hint(value))
    return [_message(item, f"{column}[{place}]", filled, note) for place, item in enumerate(value)]


def parse_json(text: str, column: str, *, what: str) -> Any:
    """What a JSON string holds, for columns that formats without lists store so."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenRow(
            f"column {column!r} holds text that is no JSON {what}.",
            hint="This is how Python prints a list, not JSON: write the file with to_json, not with to_csv."
            if text.lstrip().startswith(("[{'", "{'"))
            else f"Store the {what} as such, or as a JSON string of it; plain text has the role 'text', or 'prompt' "
            "beside its 'completion'.",
        ) from error


def _hint(value: Any) -> str:
    if kind_of_value(value) == "nothing" or value == [] or value == ():
        return "Drop the rows without messages, or name another column in 'columns'."
    if kind_of_value(value) in ("number", "truth", "time", "bytes", "other"):
        return "Name the column that holds the conversation in 'columns'."
    return 'A conversation is a list such as [{"role": "user", "content": "..."}].'


def _unzipped(value: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    """`{"role": [...], "content": [...]}` -> a list of messages."""
    lists = {name: items for name, items in value.items() if isinstance(items, list | tuple)}
    sizes = {len(items) for items in lists.values()}
    if not lists.keys() & {"role", "from"} or len(sizes) != 1 or any(value[name] for name in value.keys() - lists):
        raise BrokenRow(
            f"column {column!r} holds an object that is no list of messages.",
            hint='Send the list itself: [{"role": "user", "content": "..."}], or lists of one length under "role" and '
            '"content".',
        )
    return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]


def _message(item: Any, where: str, filled: bool, note: Note) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise BrokenRow(f"{where} is {describe(item)}, no message.", hint=_item_hint(item))
    if (caller := _caller(item)) is not None:
        item = _as_caller(item, where)
        note("roles_renamed", caller)
    role = _role(item, where, note)
    extras = {
        str(name): as_json(value, f"{where}.{str(name)[:80]}", filled=filled)
        for name, value in item.items()
        if name not in _OWN_FIELDS and value is not None
    }
    if filled:
        note_nulls(item, note)
    check_loss_marks(extras, role, where, note)
    _refuse_media(extras, where)
    for name in extras.keys() - _READ:
        note("fields_of_messages", name)
    return {"role": role, **_content(item, where, extras, filled, note), **extras}


def note_nulls(fields: Mapping[str, Any], note: Note) -> None:
    """Tell of nulls inside the values of fields that a format which fills objects may have added."""
    if not isinstance(fields, WrittenObject):
        for name, value in fields.items():
            if holds_nulls(value):
                note("nulls_left_out", str(name))


def _refuse_media(extras: Mapping[str, Any], where: str) -> None:
    if media := sorted(name for name in extras.keys() & _MEDIA if extras[name] not in ("", [], {})):
        raise BrokenRow(f"{where} has {media[0]!r}.", hint=_MEDIA_HINT)


def _item_hint(item: Any) -> str:
    if isinstance(item, list | tuple):
        return 'Pairs of turns are no messages: write each turn as {"role": "user", "content": "..."}.'
    return 'A message is an object such as {"role": "user", "content": "..."}.'


def _caller(item: Mapping[str, Any]) -> str | None:
    speaker = item.get("role", item.get("from"))
    return speaker if isinstance(speaker, str) and speaker.strip().lower() in _CALLERS else None


def _as_caller(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A turn whose words are calls of functions as the assistant's turn that chat templates know."""
    words = item.get("content", item.get("value"))
    found = parse_json(words, where, what="call of a function") if isinstance(words, str) else words
    calls = found if isinstance(found, list) else [found]
    if not calls or not all(isinstance(call, Mapping) and isinstance(call.get("name"), str) for call in calls):
        raise BrokenRow(
            f"{where} calls a function, and its content is no call.",
            hint='Write it as {"name": "...", "arguments": {...}}, or a list of such objects.',
        )
    kept = {name: value for name, value in item.items() if name not in _OWN_FIELDS}
    return {**kept, "role": "assistant", "tool_calls": [{"type": "function", "function": call} for call in calls]}


def _role(item: Mapping[str, Any], where: str, note: Note) -> str:
    found = [_read_role(item[key], key, where, note) for key in ("role", "from") if item.get(key) is not None]
    if not found:
        raise BrokenRow(f"{where} has no role.", hint=f"Give every message a role: {', '.join(ROLES)}.")
    if len(set(found)) > 1:
        raise BrokenRow(
            f"{where} has the role {item['role']!r} and is from {item['from']!r}.", hint="Keep one of the two fields."
        )
    return found[0]


def _read_role(speaker: Any, key: str, where: str, note: Note) -> str:
    plain = speaker.strip().lower() if isinstance(speaker, str) else ""
    role = _RENAMED.get(plain, plain)
    if role not in ROLES:
        raise BrokenRow(
            f"{where} has the unknown role {str(speaker)[:40]!r}.",
            hint=f"Known are {', '.join((*ROLES, *_RENAMED, *_CALLERS))}.",
        )
    if key == "from":
        role = _SPEAKERS.get(role, role)
    elif role != speaker:
        note("roles_renamed", str(speaker))
    return role


def _content(
    item: Mapping[str, Any], where: str, extras: Mapping[str, Any], filled: bool, note: Note
) -> dict[str, Any]:
    """The content as text. None or left out, as it was written, where other fields say what the turn holds."""
    found = [item[key] for key in ("content", "value") if item.get(key) is not None]
    if len(found) == 2 and found[0] != found[1]:
        raise BrokenRow(f"{where} has both 'content' and 'value'.", hint="Keep one of the two fields.")
    elsewhere = next((name for name in _WORDS_ELSEWHERE if extras.get(name)), None)
    if elsewhere is not None and not any(found):
        raise BrokenRow(
            f"{where} has no content, and {describe(extras[elsewhere])} under {elsewhere!r}.",
            hint=f"Rename the field {elsewhere!r} to 'content': chat templates read the words of a turn there.",
        )
    if found:
        return _as_content(found[0], item.get(PARTS), where, note)
    if extras.keys().isdisjoint(_IN_PLACE_OF_CONTENT):
        raise BrokenRow(
            f"{where} has no content.",
            hint='Every message has "content", or "tool_calls" in its place; drop empty turns.',
        )
    is_filled = filled and not isinstance(item, WrittenObject)
    return {"content": None} if "content" in item and not is_filled else {}


def _as_content(content: Any, parts: Any, where: str, note: Note) -> dict[str, Any]:
    """Text, and the text parts of a content list, which chat templates may read; other parts (images, sound) are
    refused. `parts` is what the row itself has of them, as one that this service wrote does."""
    if not isinstance(content, list | tuple):
        text = as_text(content, where)
        if parts in (None, []):
            return {"content": text}
        if (
            not isinstance(parts, list | tuple)
            or not all(isinstance(one, str) for one in parts)
            or "".join(parts) != text
        ):
            raise BrokenRow(
                f"{where} has the field {PARTS!r}, which is not its content in parts.", hint="Remove the field."
            )
        content = [{"type": _TEXT_PART, "text": one} for one in parts]
    note("parts_handed_on", where.partition("[")[0])
    texts = [_part(part, f"{where}.content[{place}]") for place, part in enumerate(content)]
    return {"content": "".join(texts), PARTS: texts}


def _part(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or kind != _TEXT_PART:
        called = f"a part of type {str(kind)[:40]!r}" if kind is not None else "content that is not text"
        raise BrokenRow(
            f"{where} has {called}.",
            hint=_MEDIA_HINT,
        )
    if others := [name for name, value in part.items() if name not in ("type", "text") and value is not None]:
        raise BrokenRow(
            f"{where} has the field {str(others[0])[:40]!r}, which is not read.",
            hint="A part of text has 'type' and 'text' alone: remove the field.",
        )
    return as_text(part.get("text"), where)


def text_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """The contents of a conversation put together."""
    return "".join(message.get("content") or "" for message in messages)

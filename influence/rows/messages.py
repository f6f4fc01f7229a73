"""Conversations and instructions in their normal form."""

import json
from collections.abc import Mapping
from typing import Any

from influence.errors import BrokenRow
from influence.rows.values import as_json, as_text

#: What a speaker is called in published data sets -> the role that chat templates know.
ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
#: Fields of a message that templates may use beside role and content.
_EXTRA_FIELDS = ("name", "tool_calls", "tool_call_id")

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


def as_messages(value: Any, column: str) -> list[dict[str, Any]]:
    """A conversation as `[{role, content, ...}]`, from role/content or from/value messages or a JSON string."""
    if isinstance(value, str):
        value = _parsed(value, column)
    if not isinstance(value, list | tuple) or not value:
        raise BrokenRow(
            f"column {column!r} holds no list of messages.",
            hint='A conversation is a list such as [{"role": "user", "content": "..."}].',
        )
    return [_message(item, f"{column}[{place}]") for place, item in enumerate(value)]


def _parsed(text: str, column: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenRow(
            f"column {column!r} holds text that is no JSON list of messages.",
            hint="Store the messages as a list, or as a JSON string of one; plain text belongs to the role 'text'.",
        ) from error


def _message(item: Any, where: str) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise BrokenRow(
            f"{where} is no message.", hint='A message is an object such as {"role": "user", "content": "..."}.'
        )
    speaker = item.get("role") if item.get("role") is not None else item.get("from")
    role = ROLES.get(speaker.strip().lower()) if isinstance(speaker, str) else None
    if role is None:
        raise BrokenRow(f"{where} has the unknown role {str(speaker)[:40]!r}.", hint=f"Known are {', '.join(ROLES)}.")
    extras = {name: as_json(item[name], f"{where}.{name}") for name in _EXTRA_FIELDS if item.get(name) is not None}
    content = item.get("content") if item.get("content") is not None else item.get("value")
    if content is None and "tool_calls" in extras:
        content = ""
    return {"role": role, "content": _content(content, where), **extras}


def _content(content: Any, where: str) -> str:
    """Text, or the text parts of a content list put together; other parts (images) are refused."""
    if not isinstance(content, list):
        return as_text(content, where)
    parts = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text":
            raise BrokenRow(f"{where} has content that is not text.", hint="Only text messages can be scored.")
        parts.append(as_text(part.get("text"), where))
    return "".join(parts)

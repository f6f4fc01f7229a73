"""In which form a chat template gets the contents of messages: as texts, or as lists of parts.

Trainers hand rows to the template as they are, and those of multimodal models write every content as a list before.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from influence.rows.conversations.messages import PARTS
from workers.tasks.chat.conversation import Messages


def reworded(message: Mapping[str, Any], words: str) -> dict[str, Any]:
    """A message with other words, in parts where it has parts."""
    return {**message, "content": words, **({PARTS: [words]} if PARTS in message else {})}


def have_parts(messages: Messages) -> bool:
    """Whether a content came as a list."""
    return any(PARTS in message for message in messages)


def in_texts(messages: Messages) -> list[dict[str, Any]]:
    """Every content as one text."""
    return [{name: value for name, value in message.items() if name != PARTS} for message in messages]


def in_parts(messages: Messages, *, all_of_them: bool = False) -> list[dict[str, Any]]:
    """Contents that came as lists as such; with `all_of_them` every text as a list of one part, too."""
    found = []
    for message, plain in zip(messages, in_texts(messages), strict=True):
        text = message.get("content")
        texts = message.get(PARTS, [text] if all_of_them and isinstance(text, str) else None)
        parts = texts and [{"type": "text", "text": one} for one in texts]
        found.append({**plain, "content": parts} if parts else plain)
    return found


def find_unread(messages: Messages, text: str) -> Iterator[str]:
    """What of contents in parts a template did not read: their words, and lists as programs print them."""
    for message in in_parts(messages):
        parts = message.get("content")
        if isinstance(parts, list):
            yield from (printed for printed in (repr(parts), json.dumps(parts, ensure_ascii=False)) if printed in text)
            yield from (words for part in parts if (words := part["text"].strip()) not in text)

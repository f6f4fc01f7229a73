"""The part of a row that a language model's answer is."""

from collections.abc import Mapping
from typing import Any


def answer_text(row: Mapping[str, Any]) -> str | None:
    """Completion, last assistant turn or plain text of a row in normal form; None for a conversation without one."""
    if "messages" in row:
        turns = (message["content"] for message in reversed(row["messages"]) if message["role"] == "assistant")
        return next(turns, None)
    answer: str | None = row.get("completion", row.get("text"))
    return answer


def ends_with_answer(row: Mapping[str, Any]) -> bool:
    """Whether another answer can take the place of a row's own: a conversation has to end with the assistant's turn."""
    return "messages" not in row or "completion_from" in row or row["messages"][-1]["role"] == "assistant"

"""A row that is a conversation: its messages, what the chat template reads beside them, and which part is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workers.rows import Row

Messages = Sequence[Mapping[str, Any]]
_CONTEXT = ("tools", "documents")


@dataclass(frozen=True, slots=True)
class Conversation:
    """`context` goes to the chat template by name. Messages from `completion_from` on are the completion of a
    conversational prompt; None where the row does not say."""

    messages: Messages
    context: Mapping[str, Any] = field(default_factory=dict)
    completion_from: int | None = None

    @classmethod
    def of(cls, row: Row) -> "Conversation":
        """That of a normalised row."""
        context = {name: row[name] for name in _CONTEXT if name in row}
        return cls(row["messages"], {**row.get("chat_template_kwargs", {}), **context}, row.get("completion_from"))

    def until(self, place: int, *more: Mapping[str, Any]) -> "Conversation":
        """The first messages, and others after them."""
        return replace(self, messages=[*self.messages[:place], *more], completion_from=None)

    def before_answer(self) -> "Conversation":
        """What is answered: the prompt, or all before the last turn where that is the assistant's."""
        if self.completion_from is not None:
            return self.until(self.completion_from)
        return self.until(len(self.messages) - (self.messages[-1]["role"] == "assistant"))

    def turns(self) -> list[int]:
        """Places of the assistant's turns, of the completion alone where there is one."""
        first = self.completion_from or 0
        return [
            place for place, message in enumerate(self.messages) if place >= first and message["role"] == "assistant"
        ]

"""Conversations through the base model's chat template, and which characters of them carry loss."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from influence.contracts.common import LossScope
from workers.tasks.encoding import Span, TextEncoder, TokenisedText

Messages = Sequence[Mapping[str, Any]]
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


class UnknownMask(Exception):
    """Nobody can tell which tokens of this conversation carried loss. The task turns it into a refusal of rows."""


class ChatRenderer:
    """Renders messages as training frameworks do, and finds the assistant's part exactly or not at all."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._marks_generation = _GENERATION.search(str(encoder.tokenizer.chat_template)) is not None

    def render(self, messages: Messages, *, ask: bool = False) -> str:
        """The conversation's text; with `ask`, followed by the header of the assistant's next turn."""
        try:
            text = self._encoder.apply_template(messages, tokenize=False, add_generation_prompt=ask)
        except (jinja2.TemplateError, TypeError, IndexError, KeyError, ValueError) as error:
            raise UnknownMask(f"the chat template refuses it ({str(error).strip()[:120]})") from error
        return str(text)

    def encode(self, messages: Messages, scope: LossScope) -> tuple[str, TokenisedText, list[bool]]:
        """Text, tokens, and which tokens carry loss. Raises UnknownMask.

        `all`: every token. `assistant`: every assistant turn, by the template's own generation marks where it has
        them, else from the end of the turn's header to the end of the turn. `completion`: the last turn, in that way.
        """
        text = self.render(messages)
        tokens = self._encoder.encode(text, special_tokens=False)
        if scope == "all":
            return text, tokens, [True] * len(tokens.ids)
        if scope == "assistant" and self._marks_generation:
            return text, tokens, self._marked(messages, tokens)
        return text, tokens, _inside(tokens, self._assistant_spans(messages, text, scope))

    def _marked(self, messages: Messages, tokens: TokenisedText) -> list[bool]:
        try:
            found = self._encoder.apply_template(
                messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
            )
        except (jinja2.TemplateError, ValueError, NotImplementedError) as error:
            raise UnknownMask(f"the chat template's marks cannot be read ({str(error)[:120]})") from error
        if list(found["input_ids"]) != tokens.ids:
            raise UnknownMask("the chat template's marks fall on other tokens than its text has")
        return [bool(mark) for mark in found["assistant_masks"]]

    def _assistant_spans(self, messages: Messages, text: str, scope: LossScope) -> list[Span]:
        turns = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        if scope == "completion":
            if messages[-1]["role"] != "assistant":
                raise UnknownMask("its last message is not the assistant's")
            turns = turns[-1:]
        return [self._turn(messages, place, text) for place in turns]

    def _turn(self, messages: Messages, place: int, text: str) -> Span:
        """Characters of one assistant turn: what the template adds when the turn is appended to what came before.

        Holds only if a template never changes what it wrote before; that is checked, not believed.
        """
        before = self.render(messages[:place], ask=True)
        after = text if place + 1 == len(messages) else self.render(messages[: place + 1])
        if not (text.startswith(after) and after.startswith(before)):
            raise UnknownMask("the chat template rewrites earlier turns, so that the assistant's part is not certain")
        return Span(len(before), len(after))


def _inside(tokens: TokenisedText, spans: Sequence[Span]) -> list[bool]:
    """Tokens that hold at least one character of a span."""
    if tokens.spans is None:
        raise UnknownMask("the tokenizer cannot say which characters a token stands for")
    return [
        any(token.start < span.stop and token.stop > span.start for span in spans) and token.stop > token.start
        for token in tokens.spans
    ]

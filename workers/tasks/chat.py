"""Conversations through the base model's chat template, and which characters of them carry loss."""

import re
from collections.abc import Sequence

import jinja2

from influence.contracts.common import LossScope
from influence.rows.conversations.messages import carries_loss
from workers.tasks.conversation import Conversation
from workers.tasks.encoding import Span, TextEncoder, TokenisedText

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
#: Stands for any turn of a user, to see what a template writes before a turn of the assistant.
_PROBE = {"role": "user", "content": "x"}

#: Stands for an assistant's words, to see what a template writes before them.
_WORDS = "words-of-the-assistant"


class UnknownMask(Exception):
    """Nobody can tell which tokens of this conversation carried loss. The task turns it into a refusal of rows."""


class ChatRenderer:
    """Renders messages as training frameworks do, and finds the assistant's part exactly or not at all."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        template = str(encoder.tokenizer.chat_template)
        self._marks_generation = _GENERATION.search(template) is not None
        self._shows_header = "add_generation_prompt" in template

    def render(self, conversation: Conversation, *, ask: bool = False) -> str:
        """The conversation's text; with `ask`, followed by the header of the assistant's next turn."""
        try:
            text = self._encoder.apply_template(
                conversation.messages, **conversation.context, tokenize=False, add_generation_prompt=ask
            )
        except (jinja2.TemplateError, AttributeError, TypeError, IndexError, KeyError, ValueError) as error:
            raise UnknownMask(f"the chat template refuses it ({str(error).strip()[:120]})") from error
        return str(text)

    def encode(self, conversation: Conversation, scope: LossScope) -> tuple[str, TokenisedText, list[bool]]:
        """Text, tokens, and which tokens carry loss. Raises UnknownMask.

        `all`: every token. `assistant`: every assistant turn (of the completion, where a prompt is set apart), by the
        template's own generation marks where it has them, else from the end of the turn's header to the end of the
        turn. `completion`: all that follows the prompt and the header of its answer, or the last turn. Turns whose own
        fields say that they carried no loss carry none, but for `all`.
        """
        text = self.render(conversation)
        tokens = self._encoder.encode(text, special_tokens=False)
        if scope == "all":
            return text, tokens, [True] * len(tokens.ids)
        if scope == "assistant" and self._marks_generation:
            return text, tokens, self._marked(conversation, text, tokens)
        if scope == "completion":
            spans = [self._completion(conversation, text)]
        else:
            spans = [self._turn(conversation, place, text) for place in _with_loss(conversation)]
        return text, tokens, self._without_muted(conversation, text, tokens, _inside(tokens, spans))

    def _marked(self, conversation: Conversation, text: str, tokens: TokenisedText) -> list[bool]:
        try:
            found = self._encoder.apply_template(
                conversation.messages,
                **conversation.context,
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
        except (jinja2.TemplateError, ValueError, NotImplementedError) as error:
            raise UnknownMask(f"the chat template's marks cannot be read ({str(error)[:120]})") from error
        if list(found["input_ids"]) != tokens.ids:
            raise UnknownMask("the chat template's marks fall on other tokens than its text has")
        marks = [bool(mark) for mark in found["assistant_masks"]]
        if conversation.completion_from is not None:
            asked = _inside(tokens, [self._completion(conversation, text)])
            marks = [mark and inside for mark, inside in zip(marks, asked, strict=True)]
        return self._without_muted(conversation, text, tokens, marks)

    def _without_muted(
        self, conversation: Conversation, text: str, tokens: TokenisedText, marks: list[bool]
    ) -> list[bool]:
        """Marks without those of turns that say that they carried no loss."""
        muted = sorted(set(conversation.turns()) - set(_with_loss(conversation)))
        if not muted:
            return marks
        silent = _inside(tokens, [self._turn(conversation, place, text) for place in muted])
        return [mark and not quiet for mark, quiet in zip(marks, silent, strict=True)]

    def _completion(self, conversation: Conversation, text: str) -> Span:
        if conversation.completion_from is None:
            last = len(conversation.messages) - 1
            if conversation.messages[last]["role"] != "assistant":
                raise UnknownMask("its last message is not the assistant's")
            return self._turn(conversation, last, text)
        before = self.render(conversation.before_answer(), ask=True)
        if not text.startswith(before):
            raise UnknownMask("the chat template rewrites the prompt, so that the completion's part is not certain")
        return self._behind_header(conversation, conversation.completion_from, text, Span(len(before), len(text)))

    def find_answer(self, conversation: Conversation, text: str) -> Span:
        """Characters of the last assistant turn's words in the conversation's text. Raises UnknownMask."""
        turns = conversation.turns()
        if not turns:
            raise UnknownMask("no turn is the assistant's")
        turn, words = self._turn(conversation, turns[-1], text), str(conversation.messages[turns[-1]]["content"])
        # Many templates trim what they write.
        trimmed = words.strip()
        start = text.find(trimmed, turn.start, turn.stop)
        is_certain = start == turn.start or text.count(trimmed, turn.start, turn.stop) == 1
        if start < 0 or not is_certain:
            raise UnknownMask("the chat template changes the words of the assistant's turn")
        start -= words.find(trimmed)
        return Span(start, start + len(words))

    def _turn(self, conversation: Conversation, place: int, text: str) -> Span:
        """Characters of one assistant turn: what the template adds when the turn is appended to what came before.

        Holds only if a template never changes what it wrote before; that is checked, not believed.
        """
        is_last = place + 1 == len(conversation.messages)
        after = text if is_last else self._after(conversation, place, text)
        before = self._before(conversation, place, after)
        if not (text.startswith(after) and after.startswith(before)):
            raise UnknownMask("the chat template rewrites earlier turns, so that the assistant's part is not certain")
        return self._behind_header(conversation, place, text, Span(len(before), len(after)))

    def _after(self, conversation: Conversation, place: int, text: str) -> str:
        """The text up to the end of a turn that others follow. Some templates end a whole conversation with EOS."""
        found = self.render(conversation.until(place + 1))
        return found if text.startswith(found) else found.removesuffix(self._encoder.tokenizer.eos_token or "")

    def _behind_header(self, conversation: Conversation, place: int, text: str, turn: Span) -> Span:
        """The turn without the header that a template writes before it and does not show when it is asked to.

        Where the template shows one it is the turn as it is, and also where nothing stands before its words.
        """
        message = conversation.messages[place]
        if self._shows_header or message.get("content") is None:
            return turn
        probe = self.render(conversation.until(place, {**message, "content": _WORDS}))
        start = probe.find(_WORDS)
        if start < turn.start or probe[:start] != text[:start]:
            raise UnknownMask("the chat template does not show where the assistant's turn begins")
        return Span(start, turn.stop) if probe[turn.start : start].strip() else turn

    def _before(self, conversation: Conversation, place: int, after: str) -> str:
        """The text up to the end of a turn's header; `after` is the text up to the end of the turn."""
        if place > 0:
            try:
                return self.render(conversation.until(place), ask=True)
            except UnknownMask:
                # Some templates want a turn of the user before any other; what they write before one can be seen.
                return self._before_first(conversation, place, after)
        return self._before_first(conversation, place, after)

    def _before_first(self, conversation: Conversation, place: int, after: str) -> str:
        """The same where the template renders nothing that ends here: its header, after what any turn would have had
        before it."""
        probe = conversation.until(place, _PROBE)
        other = self.render(probe)
        header = self.render(probe, ask=True).removeprefix(other)
        start = after.find(header)
        if not header or start < 0 or not other.startswith(after[:start]):
            raise UnknownMask("the chat template does not show where the assistant's first turn begins")
        return after[: start + len(header)]


def _with_loss(conversation: Conversation) -> Sequence[int]:
    return [place for place in conversation.turns() if carries_loss(conversation.messages[place])]


def _inside(tokens: TokenisedText, spans: Sequence[Span]) -> list[bool]:
    """Tokens that hold at least one character of a span."""
    if tokens.spans is None:
        raise UnknownMask("the tokenizer cannot say which characters a token stands for")
    return [any(token.meets(span) for span in spans) for token in tokens.spans]

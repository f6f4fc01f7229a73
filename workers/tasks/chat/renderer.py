"""Conversations through the base model's chat template, and which characters of them carry loss."""

import re
from collections.abc import Sequence

import jinja2

from influence.contracts.common import LossScope
from influence.rows.conversations.loss_marks import carries_loss
from workers.tasks.chat.conversation import Conversation
from workers.tasks.chat.pieces import Piece, encode_apart, join_alike, read_pieces
from workers.tasks.chat.turns import TurnFinder
from workers.tasks.chat.writing import UnknownMask, write_messages, write_text
from workers.tasks.encoding import Span, TextEncoder, TokenisedText

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


class ChatRenderer:
    """Renders messages as training frameworks do, and finds the assistant's part exactly or not at all."""

    def __init__(self, encoder: TextEncoder, *, follows_prompt: bool = False) -> None:
        """With `follows_prompt` a completion is refused that does not follow the words in which its prompt asks."""
        self._encoder = encoder
        self._follows_prompt = follows_prompt
        self._turns = TurnFinder(encoder)

    def render(self, conversation: Conversation, *, ask: bool = False) -> str:
        """The conversation's text; with `ask`, followed by the header of the assistant's next turn."""
        return write_text(self._encoder, conversation, ask=ask)

    def encode(self, conversation: Conversation, scope: LossScope) -> tuple[str, TokenisedText, list[bool]]:
        """Text, tokens, and which tokens carry loss. Raises UnknownMask.

        `all`: every token. `assistant`: every assistant turn (of the completion, where a prompt is set apart), by the
        template's own generation marks where it has them, else from the end of the turn's header to the end of the
        turn. `completion`: all that follows the prompt and the header of its answer, or the last turn. Turns whose own
        fields say that they carried no loss carry none, but for `all`.
        """
        text = self.render(conversation)
        pieces = read_pieces(self._encoder, conversation, text)
        if any(piece.carries_loss for piece in pieces):
            return self._by_marks(conversation, text, pieces, scope)
        tokens, _ = encode_apart(self._encoder, text, pieces or [Piece(Span(0, len(text)), carries_loss=None)])
        if scope == "all":
            return text, tokens, [True] * len(tokens.ids)
        if scope == "assistant" and _GENERATION.search(self._encoder.template_for(conversation.context.get("tools"))):
            return text, tokens, self._marked(conversation, text, tokens)
        if scope == "completion":
            spans = [self._completion(conversation, text)]
        else:
            spans = [self._turns.find(conversation, place, text) for place in _with_loss(conversation)]
        return text, tokens, self._without_muted(conversation, text, tokens, _inside(tokens, spans))

    def _by_marks(
        self, conversation: Conversation, text: str, pieces: list[Piece], scope: LossScope
    ) -> tuple[str, TokenisedText, list[bool]]:
        """The same where a trainer's template marks what carries loss: that was encoded apart from what does not."""
        start = 0
        if scope == "completion" or (scope == "assistant" and conversation.completion_from is not None):
            start = self._completion(conversation, text).start

        def carries(piece: Piece) -> bool:
            is_asked = bool(piece.carries_loss) if scope == "assistant" else not piece.is_muted
            return is_asked and piece.span.start >= start

        tokens, marks = encode_apart(self._encoder, text, join_alike(pieces, carries))
        return text, tokens, marks if scope == "all" else self._without_muted(conversation, text, tokens, marks)

    def _marked(self, conversation: Conversation, text: str, tokens: TokenisedText) -> list[bool]:
        messages, _ = write_messages(self._encoder, conversation)
        try:
            found = self._encoder.apply_template(
                messages,
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
        silent = _inside(tokens, [self._turns.find(conversation, place, text) for place in muted])
        return [mark and not quiet for mark, quiet in zip(marks, silent, strict=True)]

    def _completion(self, conversation: Conversation, text: str) -> Span:
        if conversation.completion_from is None:
            last = len(conversation.messages) - 1
            if conversation.messages[last]["role"] != "assistant":
                raise UnknownMask("its last message is not the assistant's")
            return self._turns.find(conversation, last, text)
        first = conversation.completion_from
        before = self.render(conversation.before_answer(), ask=True)
        if text.startswith(before):
            return self._turns.behind_header(conversation, first, text, Span(len(before), len(text)))
        if self._follows_prompt or conversation.messages[first]["role"] != "assistant":
            raise UnknownMask("the chat template rewrites the prompt, so that the completion's part is not certain")
        return Span(self._turns.find(conversation, first, text).start, len(text))

    def says(self, conversation: Conversation, answer: str) -> bool:
        """Whether the text is the question with the answer behind it, but for space around that. Raises UnknownMask.

        Templates that show no header when they are asked for an answer write one before it, and are believed.
        """
        question, text = self.render(conversation.before_answer(), ask=True), self.render(conversation)
        return not self._turns.shows_header(conversation) or (
            text.startswith(question) and text[len(question) :].lstrip().startswith(answer.strip())
        )

    def find_answer(self, conversation: Conversation, text: str) -> Span:
        """Characters of the last assistant turn's words in the conversation's text. Raises UnknownMask."""
        turns = conversation.turns()
        if not turns:
            raise UnknownMask("no turn is the assistant's")
        turn, words = self._turns.find(conversation, turns[-1], text), str(conversation.messages[turns[-1]]["content"])
        # Many templates trim what they write.
        trimmed = words.strip()
        start = text.find(trimmed, turn.start, turn.stop)
        is_certain = start == turn.start or text.count(trimmed, turn.start, turn.stop) == 1
        if start < 0 or not is_certain:
            raise UnknownMask("the chat template changes the words of the assistant's turn")
        start -= words.find(trimmed)
        return Span(start, start + len(words))


def _with_loss(conversation: Conversation) -> Sequence[int]:
    return [place for place in conversation.turns() if carries_loss(conversation.messages[place])]


def _inside(tokens: TokenisedText, spans: Sequence[Span]) -> list[bool]:
    """Tokens that hold at least one character of a span."""
    if tokens.spans is None:
        raise UnknownMask("the tokenizer cannot say which characters a token stands for")
    return [any(token.meets(span) for span in spans) for token in tokens.spans]

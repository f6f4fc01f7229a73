"""From a text row to ids and the tokens that carry loss, as they fell in training.

kind          loss by default   tokens
text          all               the text, with the tokenizer's special tokens, ended by EOS
completion    completion        prompt + completion tokenised together, ended by EOS; the loss falls on every token that
                                holds a character of the completion and on EOS. Tokenizers that cannot say which
                                characters a token stands for read prompt and completion apart.
conversation  assistant         the chat template's text as it is; see workers.tasks.chat

EOS is added where the tokenizer does not, as supervised fine-tuning frameworks do, so that the model learns to stop;
where a trainer's files say how it ended rows, rows end so (`RowEnds`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from influence.contracts.checkpoint import RowEnds
from influence.contracts.common import LossScope
from influence.contracts.dataset import CLASSIFICATION, COMPLETION, CONVERSATION, TEXT, RowKind
from influence.contracts.tasks import CAUSAL_LM
from workers.rows import Row
from workers.tasks.chat.conversation import Conversation
from workers.tasks.chat.renderer import ChatRenderer
from workers.tasks.chat.writing import UnknownMask
from workers.tasks.encoding import Span, TextEncoder, TokenisedText

#: What each kind of row can mean; the first is the default.
SCOPES = CAUSAL_LM.rows


@dataclass(frozen=True, slots=True)
class SupervisedText:
    """Uncut ids (T) and which of them carry loss (T). The first token is never predicted, whatever it says.

    `spans` (T) are the characters of each token, empty for those that the tokenizer added; None where it does not know.
    """

    text: str
    ids: list[int]
    supervised: list[bool]
    spans: list[Span] | None = None


def kind_of(row: Row) -> RowKind:
    """The kind of a normalised row."""
    if "messages" in row:
        return CONVERSATION.name
    if "completion" in row:
        return COMPLETION.name
    return CLASSIFICATION.name if "label" in row or "text_pair" in row else TEXT.name


def holds_completion(row: Row) -> bool:
    """Whether a normalised row is a prompt with its completion."""
    return kind_of(row) == COMPLETION.name


class Supervisor:
    """Encodes rows for a causal language model."""

    def __init__(
        self,
        encoder: TextEncoder,
        scope: LossScope | None,
        *,
        follows_prompt: bool = False,
        ends: RowEnds | None = None,
    ) -> None:
        self._encoder = encoder
        self._scope = scope
        self._chat = ChatRenderer(encoder, follows_prompt=follows_prompt)
        self._eos: int | None = encoder.tokenizer.eos_token_id
        self._ends = ends

    def scope_of(self, kind: RowKind) -> LossScope:
        """The scope asked for, or the kind's default."""
        return self._scope or SCOPES[kind][0]

    def encode(self, row: Row) -> SupervisedText:
        """Ids and supervision of one row. Raises UnknownMask where the supervised tokens cannot be known."""
        kind = kind_of(row)
        if kind == CONVERSATION.name:
            return self._conversation(Conversation.of(row), self.scope_of(kind))
        if kind == COMPLETION.name and self.scope_of(kind) == "completion":
            return self._completion(str(row["prompt"]), str(row["completion"]))
        text = str(row["text"]) if kind == TEXT.name else f"{row['prompt']}{row['completion']}"
        tokens = self._encode_ended(text)
        return SupervisedText(text, tokens.ids, [True] * len(tokens.ids), tokens.spans)

    def begins_twice(self, row: Row, text: SupervisedText) -> bool:
        """Whether a text says itself what the tokenizer writes before every text, as rendered conversations do."""
        start = self._encoder.tokenizer.bos_token_id
        return start is not None and kind_of(row) != CONVERSATION.name and text.ids[:2] == [start, start]

    def find_answer(self, row: Row, text: str) -> Span:
        """Characters of a row's answer in its text. Raises UnknownMask where a chat template hides it."""
        if kind_of(row) == CONVERSATION.name:
            return self._chat.find_answer(Conversation.of(row), text)
        return Span(len(str(row.get("prompt", ""))), len(text))

    def encode_question(self, row: Row) -> list[int] | None:
        """Ids that the model continues to answer the row; None for plain text, which asks nothing."""
        kind = kind_of(row)
        if kind == COMPLETION.name:
            ids = self._encoder.encode(str(row["prompt"]), special_tokens=True).ids
            return ids[:-1] if ids and ids[-1] == self._eos else ids
        if kind == CONVERSATION.name:
            asked = Conversation.of(row).before_answer()
            if not asked.messages:
                raise UnknownMask("nothing stands before the assistant's turn")
            question = self._chat.render(asked, ask=True)
            return self._encoder.encode(question, special_tokens=False).ids
        return None

    def says(self, row: Row, answer: str) -> bool:
        """Whether a conversation's text is its question with the answer behind it. Raises UnknownMask."""
        return self._chat.says(Conversation.of(row), answer)

    def _conversation(self, conversation: Conversation, scope: LossScope) -> SupervisedText:
        if self._ends == "apart" and conversation.completion_from is not None:
            asked, text = self._chat.render(conversation.before_answer(), ask=True), self._chat.render(conversation)
            if not text.startswith(asked):
                raise UnknownMask("the chat template rewrites the prompt, so that the answer's part is not certain")
            return self._parted(asked, text[len(asked) :])
        text, tokens, supervised = self._chat.encode(conversation, scope)
        if self._ends != "unless_there" or self._eos is None or tokens.ids[-1:] == [self._eos]:
            return SupervisedText(text, tokens.ids, supervised, tokens.spans)
        carries = scope == "all" or conversation.messages[-1]["role"] == "assistant"
        ids = [*tokens.ids, self._eos]
        return SupervisedText(text, ids, [*supervised, carries], _spans_to(len(ids), tokens, text))

    def _parted(self, prompt: str, answer: str) -> SupervisedText:
        """Both encoded as they stand, and an end behind the answer whatever it ends in."""
        before, after = (self._encoder.encode(part, special_tokens=False) for part in (prompt, answer))
        ids = before.ids + after.ids + ([] if self._eos is None else [self._eos])
        spans = None
        if before.spans is not None and after.spans is not None:
            shifted = [Span(span.start + len(prompt), span.stop + len(prompt)) for span in after.spans]
            spans = _spans_to(len(ids), TokenisedText(before.ids + after.ids, before.spans + shifted), prompt + answer)
        carries = [False] * len(before.ids) + [True] * (len(ids) - len(before.ids))
        return SupervisedText(prompt + answer, ids, carries, spans)

    def _completion(self, prompt: str, completion: str) -> SupervisedText:
        if self._ends == "apart":
            return self._parted(prompt, completion)
        text = prompt + completion
        tokens = self._encode_ended(text)
        if tokens.spans is None:
            return self._completion_apart(prompt, completion)
        supervised = [span.stop > len(prompt) for span in tokens.spans]
        # Ends have no characters, whoever wrote them.
        for place in range(len(tokens.ids) - 1, -1, -1):
            if tokens.ids[place] != self._eos:
                break
            supervised[place] = True
        return SupervisedText(text, tokens.ids, supervised, tokens.spans)

    def _encode_ended(self, text: str) -> TokenisedText:
        """A text with its end, which has no characters."""
        end = self._encoder.tokenizer.eos_token
        if self._ends == "in_words" and end is not None and not text.endswith(end):
            found = self._encoder.encode(text + end, special_tokens=True)
            spans = found.spans and [
                Span(min(span.start, len(text)), min(span.stop, len(text))) for span in found.spans
            ]
            return TokenisedText(found.ids, spans)
        tokens = self._encoder.encode(text, special_tokens=not self._is_bare())
        if self._ends in ("as_tokenised", "bare", "in_words"):
            return tokens
        ids = self._ended(tokens.ids)
        return TokenisedText(ids, _spans_to(len(ids), tokens, text))

    def _is_bare(self) -> bool:
        start = self._encoder.tokenizer.bos_token
        return self._ends == "bare" and start is not None and start in self._encoder.template_for()

    def _completion_apart(self, prompt: str, completion: str) -> SupervisedText:
        before = self._encoder.encode(prompt, special_tokens=True).ids
        before = before[:-1] if before and before[-1] == self._eos else before
        after = self._ended(self._encoder.encode(completion, special_tokens=False).ids)
        return SupervisedText(prompt + completion, before + after, [False] * len(before) + [True] * len(after))

    def _ended(self, ids: Sequence[int]) -> list[int]:
        return [*ids] if self._eos is None or (ids and ids[-1] == self._eos) else [*ids, self._eos]


def _spans_to(count: int, tokens: TokenisedText, text: str) -> list[Span] | None:
    """Spans of tokens followed by an end that the tokenizer did not write."""
    added = count - len(tokens.ids)
    return None if tokens.spans is None else [*tokens.spans, *[Span(len(text), len(text))] * added]

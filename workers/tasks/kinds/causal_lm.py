"""Causal language modelling: completions, conversations, plain text."""

import math
from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor

from influence.contracts.checkpoint import RowEnds
from influence.contracts.common import LossScope, Reduction
from influence.contracts.dataset import COMPLETION
from influence.contracts.tasks import CAUSAL_LM, TaskName
from influence.errors import RowMasked, RowsUnfit
from workers.batching.collate import collate_rows
from workers.gradients.losses import TOKEN_LOSSES, supervised_logits, token_cross_entropy
from workers.rows import IGNORED, Batch, EncodedRow, Row
from workers.tasks.answer_spans import NO_CHARACTERS, narrow_labels, refuse_short, refuse_unknown
from workers.tasks.base import Materials, Prediction, ReadRow, RenderedRow
from workers.tasks.chat.conversation import Conversation
from workers.tasks.chat.writing import UnknownMask
from workers.tasks.decoding import MAX_ANSWER_TOKENS, decode_greedily
from workers.tasks.encoding import Span, TextEncoder
from workers.tasks.refusals import id_of, refuse_rows
from workers.tasks.supervision import SCOPES, SupervisedText, Supervisor, kind_of


class CausalLM:
    """A row's loss is the mean or sum over its supervised tokens, each predicted from the tokens before it."""

    name: TaskName = CAUSAL_LM.name

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        pad_id: int,
        stop_ids: Sequence[int],
        scope: LossScope | None,
        reduction: Reduction = "mean",
        ends: RowEnds | None = None,
    ) -> None:
        self._encoder = encoder
        self._pad_id = pad_id
        self._stop_ids = frozenset(stop_ids)
        self._scope = scope
        self._reduction = reduction
        self._supervisor = Supervisor(encoder, scope, ends=ends)

    @classmethod
    def make(cls, materials: Materials) -> "CausalLM":
        """The task of a loaded checkpoint."""
        return cls(
            materials.encoder,
            pad_id=materials.pad_id,
            stop_ids=materials.stop_ids(),
            scope=materials.settings.loss,
            reduction=materials.settings.reduction,
            ends=materials.ends("sft"),
        )

    def tokenise(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode rows. Raises RowMasked, RowTooLong and RowsUnfit naming the rows."""
        self._check_kinds(rows)
        texts = self._supervise(rows)
        cut = [len(text.ids) > self._encoder.limit for text in texts]
        self._encoder.refuse_long([id_of(row) for row in rows], cut)
        encoded = [self._encode(row, text, was_cut) for row, text, was_cut in zip(rows, texts, cut, strict=True)]
        masked = [row.row_id for row in encoded if all(label == IGNORED for label in row.labels[1:])]
        if masked:
            refuse_rows(
                RowMasked,
                masked,
                f"without a token that carries loss in the first {self._encoder.limit}",
                hint="Give them a completion or an assistant turn, raise max_length if they were cut, or drop them.",
            )
        return encoded

    def tokenise_span(self, rows: Sequence[Row], span: Span) -> list[EncodedRow]:
        encoded = self.tokenise(rows)
        refuse_short(rows, span)
        return narrow_labels(encoded, [self._mark(row, span) for row in rows])

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        return collate_rows(rows, pad_token_id=self._pad_id)

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        logits, targets = supervised_logits(model, {**batch.inputs, "use_cache": False}, batch.labels)
        return TOKEN_LOSSES[self._reduction](logits, targets)

    def loss_units(self, batch: Batch) -> int:
        """Rows, or supervised tokens where a row's loss is their sum; the first token of a row is never predicted."""
        return len(batch) if self._reduction == "mean" else int((batch.labels[:, 1:] != IGNORED).sum())

    def reduced_by(self, reduction: Reduction) -> "CausalLM":
        other = copy(self)
        other._reduction = reduction
        return other

    def predict(self, model: torch.nn.Module, rows: Sequence[Row]) -> list[Prediction | None]:
        """A greedy answer of at most MAX_ANSWER_TOKENS to each prompt or conversation; None for plain text."""
        self._check_kinds(rows)
        return [self._answer(model, row) for row in rows]

    def with_prediction(self, row: Row, prediction: Prediction) -> Row:
        text = prediction.text or ""
        if kind_of(row) == COMPLETION.name:
            return {**row, "completion": text}
        asked = Conversation.of(row).before_answer().messages
        answered = {**row, "messages": [*asked, {"role": "assistant", "content": text}]}
        # One that was given, and not made by the model, has no probability.
        if prediction.probability is not None and not self._supervisor.says(answered, text):
            refuse_rows(
                RowsUnfit,
                [id_of(row)],
                "to which the model's own answer is written differently by the chat template: its loss would fall on "
                "words that the model did not say",
                hint="Send the answer that you ask about as the last message, with target 'label'; or take a chat "
                "template that writes the assistant's words as they are.",
            )
        return answered

    def render(self, row: Row) -> RenderedRow:
        self._check_kinds([row])
        (text,) = self._supervise([row])
        limit = self._encoder.limit
        # The first token is never predicted: it carries no loss even where its scope does.
        supervised = (False, *text.supervised[1:limit]) if text.ids else ()
        tokens = self._encoder.tokens(text.ids[:limit])
        return RenderedRow(text.text, tokens, supervised, len(text.ids) > limit)

    def read(self, row: Row) -> ReadRow:
        self._check_kinds([row])
        (text,) = self._supervise([row])
        ids = text.ids[: self._encoder.limit]
        spans = None if text.spans is None else tuple(text.spans[: len(ids)])
        return ReadRow(text.text, self._encoder.spell(ids, text.text, spans), spans)

    def token_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        logits, targets = supervised_logits(model, {**batch.inputs, "use_cache": False}, batch.labels)
        return token_cross_entropy(logits, targets, batch.labels)

    def _encode(self, row: Row, text: SupervisedText, was_cut: bool) -> EncodedRow:
        ids = text.ids[: self._encoder.limit]
        labels = [token if carries else IGNORED for token, carries in zip(ids, text.supervised, strict=False)]
        return EncodedRow(
            id_of(row), {"input_ids": ids, "attention_mask": [1] * len(ids)}, labels, len(ids), truncated=was_cut
        )

    def _mark(self, row: Row, span: Span) -> list[bool]:
        """Which tokens hold a character of the answer's part. The first is never predicted."""
        (text,) = self._supervise([row])
        if text.spans is None:
            refuse_unknown(row, NO_CHARACTERS)
        try:
            answer = self._supervisor.find_answer(row, text.text)
        except UnknownMask as error:
            refuse_unknown(row, str(error))
        part = Span(answer.start + span.start, answer.start + span.stop)
        return [place > 0 and token.meets(part) for place, token in enumerate(text.spans)]

    def _supervise(self, rows: Sequence[Row]) -> list[SupervisedText]:
        texts: list[SupervisedText] = []
        unknown: list[str] = []
        reason = ""
        for row in rows:
            try:
                texts.append(self._supervisor.encode(row))
            except UnknownMask as error:
                unknown.append(id_of(row))
                reason = reason or str(error)
        if unknown:
            refuse_rows(
                RowsUnfit,
                unknown,
                f"whose supervised tokens cannot be known: {reason}",
                hint="Send loss 'all', or 'completion' for the last turn alone; send rows as prompt and completion; or "
                "put a chat_template.jinja beside the adapter that marks the assistant's part with {% generation %}.",
            )
        self._refuse_two_starts(rows, texts)
        return texts

    def _refuse_two_starts(self, rows: Sequence[Row], texts: Sequence[SupervisedText]) -> None:
        found = [id_of(row) for row, text in zip(rows, texts, strict=True) if self._supervisor.begins_twice(row, text)]
        if found:
            start = self._encoder.tokenizer.bos_token
            refuse_rows(
                RowsUnfit,
                found,
                f"that begin with {start!r}, which the tokenizer writes before every text: it would stand there twice",
                hint=f"Send the texts without it, text.removeprefix({start!r}); or the conversations that they were "
                "rendered from, as 'messages'.",
            )

    def _answer(self, model: torch.nn.Module, row: Row) -> Prediction | None:
        try:
            question = self._supervisor.encode_question(row)
        except UnknownMask as error:
            refuse_rows(RowsUnfit, [id_of(row)], f"without a question to answer: {error}", hint="Send target 'label'.")
        if question is None:
            return None
        limit = self._encoder.limit
        read = question[-max(limit - MAX_ANSWER_TOKENS, limit // 2, 1) :]
        answer, log_probability = decode_greedily(
            model, read, stop_ids=self._stop_ids, max_new_tokens=min(MAX_ANSWER_TOKENS, max(limit - len(read), 1))
        )
        return Prediction(
            text=self._encoder.decode(answer, special_tokens=False), probability=math.exp(log_probability)
        )

    def _check_kinds(self, rows: Sequence[Row]) -> None:
        unfit = [id_of(row) for row in rows if kind_of(row) not in SCOPES]
        if unfit:
            refuse_rows(
                RowsUnfit,
                unfit,
                "of a classification data set",
                hint="This checkpoint is a language model: send prompt and completion, messages, or text alone.",
            )
        other = [id_of(row) for row in rows if self._scope is not None and self._scope not in SCOPES[kind_of(row)]]
        if other:
            refuse_rows(
                RowsUnfit,
                other,
                f"that have no part called {self._scope!r}",
                hint="Leave 'loss' out for what the rows imply: completion, assistant, or all of a plain text.",
            )

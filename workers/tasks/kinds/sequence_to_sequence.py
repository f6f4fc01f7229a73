"""Sequence to sequence: an encoder reads the prompt, a decoder writes the completion."""

import math
from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor

from influence.contracts.common import Reduction
from influence.contracts.tasks import SEQ2SEQ_LM, TaskName
from influence.errors import RowMasked, RowsUnfit, TaskMismatch
from workers.batching.collate import collate_rows
from workers.gradients.losses import TOKEN_LOSSES, supervised_logits
from workers.rows import IGNORED, Batch, EncodedRow, Row
from workers.tasks.answer_spans import NO_CHARACTERS, narrow_labels, refuse_short, refuse_unknown
from workers.tasks.base import Materials, Prediction, RenderedRow
from workers.tasks.decoding import answer_greedily
from workers.tasks.encoding import Span, TextEncoder
from workers.tasks.refusals import id_of, refuse_rows
from workers.tasks.supervision import holds_completion


class SequenceToSequence:
    """A row's loss is the mean or sum over the completion's tokens, its end included, as the tokenizer writes targets.

    The limit on tokens holds for either side. `shift` makes of the target's ids (1, T) what the decoder reads.
    """

    name: TaskName = SEQ2SEQ_LM.name

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        pad_id: int,
        shift: Any,
        stop_ids: Sequence[int],
        forced_id: int | None,
        reduction: Reduction = "mean",
    ) -> None:
        self._encoder = encoder
        self._pad_id = pad_id
        self._shift = shift
        self._stop_ids = frozenset(stop_ids)
        self._forced_id = forced_id
        self._reduction = reduction

    @classmethod
    def make(cls, materials: Materials) -> "SequenceToSequence":
        """The task of a loaded checkpoint. Raises TaskMismatch for a model that does not say how its decoder begins."""
        shift = getattr(materials.model, "prepare_decoder_input_ids_from_labels", None)
        if shift is None:
            raise TaskMismatch(
                f"A {type(materials.model).__name__} does not say what its decoder reads, so its loss is not known.",
                hint="Send a model that transformers loads as AutoModelForSeq2SeqLM.",
            )
        return cls(
            materials.encoder,
            pad_id=materials.pad_id,
            shift=shift,
            stop_ids=materials.stop_ids(),
            forced_id=getattr(materials.model.generation_config, "forced_bos_token_id", None),
            reduction=materials.settings.reduction,
        )

    def tokenise(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode rows. Raises RowMasked, RowTooLong and RowsUnfit naming the rows."""
        _check_rows(rows)
        if not rows:
            return []
        sources, cut = self._encoder.encode_pairs([str(row["prompt"]) for row in rows], None)
        targets, cut_targets = self._encoder.encode_targets([str(row["completion"]) for row in rows])
        was_cut = [first or second for first, second in zip(cut, cut_targets, strict=True)]
        self._encoder.refuse_long([id_of(row) for row in rows], was_cut)
        if empty := [id_of(row) for row, target in zip(rows, targets, strict=True) if not target]:
            refuse_rows(RowMasked, empty, "without a token that carries loss", hint="Give them a completion.")
        return [self._encode(*parts) for parts in zip(rows, sources, targets, was_cut, strict=True)]

    def tokenise_span(self, rows: Sequence[Row], span: Span) -> list[EncodedRow]:
        encoded = self.tokenise(rows)
        refuse_short(rows, span)
        return narrow_labels(encoded, [self._mark(row, span) for row in rows])

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        return collate_rows(rows, pad_token_id=self._pad_id)

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        inputs = {**batch.inputs, "use_cache": False}
        logits, targets = supervised_logits(model, inputs, batch.labels, causal=False)
        return TOKEN_LOSSES[self._reduction](logits, targets)

    def loss_units(self, batch: Batch) -> int:
        """Rows, or supervised tokens where a row's loss is their sum."""
        return len(batch) if self._reduction == "mean" else int((batch.labels != IGNORED).sum())

    def reduced_by(self, reduction: Reduction) -> "SequenceToSequence":
        other = copy(self)
        other._reduction = reduction
        return other

    def predict(self, model: torch.nn.Module, rows: Sequence[Row]) -> list[Prediction | None]:
        """A greedy answer to each prompt."""
        _check_rows(rows)
        start_id = self._read_by_decoder(self._encoder.encode_targets([""])[0][0] or [self._pad_id])[0]
        return [self._answer(model, row, start_id) for row in rows]

    def with_prediction(self, row: Row, prediction: Prediction) -> Row:
        return {**row, "completion": prediction.text or ""}

    def render(self, row: Row) -> RenderedRow:
        (encoded,) = self.tokenise([row])
        source, target = encoded.inputs["input_ids"], encoded.labels
        return RenderedRow(
            f"{row['prompt']}\n{row['completion']}",
            (*self._encoder.tokens(source), *self._encoder.tokens(target)),
            (False,) * len(source) + (True,) * len(target),
            encoded.truncated,
        )

    def _encode(self, row: Row, source: dict[str, list[int]], target: list[int], was_cut: bool) -> EncodedRow:
        decoder = {"decoder_input_ids": self._read_by_decoder(target), "decoder_attention_mask": [1] * len(target)}
        length = len(source["input_ids"]) + len(target)
        return EncodedRow(id_of(row), {**source, **decoder}, target, length, truncated=was_cut)

    def _mark(self, row: Row, span: Span) -> list[bool]:
        """Which of the target's tokens hold a character of the span."""
        tokens = self._encoder.target_spans(str(row["completion"]))
        if tokens is None:
            refuse_unknown(row, NO_CHARACTERS)
        return [token.meets(span) for token in tokens]

    def _read_by_decoder(self, target: Sequence[int]) -> list[int]:
        found: list[int] = self._shift(torch.tensor([list(target)]))[0].tolist()
        return found

    def _answer(self, model: torch.nn.Module, row: Row, start_id: int) -> Prediction:
        ((source,), _) = self._encoder.encode_pairs([str(row["prompt"])], None)
        answer, log_probability = answer_greedily(
            model, source["input_ids"], start_id=start_id, forced_id=self._forced_id, stop_ids=self._stop_ids
        )
        text = self._encoder.decode(answer, special_tokens=False)
        return Prediction(text=text, probability=math.exp(log_probability))


def _check_rows(rows: Sequence[Row]) -> None:
    if unfit := [id_of(row) for row in rows if not holds_completion(row)]:
        refuse_rows(
            RowsUnfit,
            unfit,
            "without 'prompt' and 'completion'",
            hint="This checkpoint reads a prompt and writes a completion: its rows have both.",
        )

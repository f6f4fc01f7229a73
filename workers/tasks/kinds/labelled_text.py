"""What tasks share whose rows are a text, or a pair of texts, with a label that a head is to give."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from influence.errors import RowsUnfit
from workers.batching.collate import collate_rows
from workers.batching.padding import choose_filler, told_padding
from workers.rows import Batch, EncodedRow, Row
from workers.tasks.base import Prediction, ReadRow, RenderedRow
from workers.tasks.encoding import TextEncoder
from workers.tasks.refusals import id_of, refuse_rows

#: Rows that are predicted at once.
_PREDICT_ROWS = 32


class LabelledText:
    """Rows to tokens, batches and answers; a task adds what its labels are and what the head's outputs say.

    The loss falls on the label, on no token.
    """

    #: What stands in the label's place where it is not looked at.
    no_label: Any = 0

    def __init__(self, encoder: TextEncoder, *, pad_id: int | None) -> None:
        """`pad_id` is the padding id of the model's configuration, if it has one."""
        self._encoder = encoder
        self._pad_id = pad_id

    def read_labels(self, rows: Sequence[Row]) -> list[Any]:
        """Labels as an encoded row holds them. Raises RowsRefused naming the rows."""
        raise NotImplementedError

    def answer(self, outputs: Tensor) -> list[Prediction]:
        """What outputs (B, C) of the head say of each row."""
        raise NotImplementedError

    def tokenise(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode rows. Raises RowTooLong, RowsUnfit and what `read_labels` raises, naming the rows."""
        _check_texts(rows)
        return self._encode(rows, self.read_labels(rows))

    def questions(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode rows whose labels are not looked at. Raises RowTooLong and RowsUnfit, naming the rows."""
        _check_texts(rows)
        return self._encode(rows, [self.no_label] * len(rows))

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        return collate_rows(rows, pad_token_id=choose_filler(rows) if self._pad_id is None else self._pad_id)

    def logits(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        """What the head gives for each row of a batch (B, C), as it would for the row alone."""
        with told_padding(model, batch) if self._pad_id is None else nullcontext():
            found: Tensor = model(**batch.inputs).logits
        return found

    @torch.no_grad()
    def predict(self, model: torch.nn.Module, rows: Sequence[Row]) -> list[Prediction | None]:
        """The head's answer to each row."""
        device = next(model.parameters()).device
        encoded = self.questions(rows)
        found: list[Prediction | None] = []
        for start in range(0, len(rows), _PREDICT_ROWS):
            batch = self.collate(encoded[start : start + _PREDICT_ROWS]).to(device)
            found += self.answer(self.logits(model, batch).float().cpu())
        return found

    def with_prediction(self, row: Row, prediction: Prediction) -> Row:
        return {**row, "label": prediction.label}

    def render(self, row: Row) -> RenderedRow:
        _check_texts([row])
        (encoded,) = self._encode([row], [self.no_label])
        ids = encoded.inputs["input_ids"]
        return RenderedRow(self._encoder.decode(ids), self._encoder.tokens(ids), (False,) * len(ids), encoded.truncated)

    def read(self, row: Row) -> ReadRow:
        _check_texts([row])
        (encoded,) = self._encode([row], [self.no_label])
        text, pair = str(row["text"]), None if row.get("text_pair") is None else str(row["text_pair"])
        spans = self._encoder.pair_spans(text, pair)
        whole = text if pair is None else f"{text}\n{pair}"
        tokens = self._encoder.spell(encoded.inputs["input_ids"], whole, spans)
        return ReadRow(whole, tokens, None if spans is None else tuple(spans))

    def _encode(self, rows: Sequence[Row], labels: Sequence[Any]) -> list[EncodedRow]:
        if not rows:
            return []
        paired = [row.get("text_pair") is not None for row in rows]
        if any(paired) and not all(paired):
            alone = [id_of(row) for row, has_pair in zip(rows, paired, strict=True) if not has_pair]
            refuse_rows(RowsUnfit, alone, "without 'text_pair' among rows with one", hint="Give every row its pair.")
        pairs = [str(row["text_pair"]) for row in rows] if all(paired) else None
        inputs, cut = self._encoder.encode_pairs([str(row["text"]) for row in rows], pairs)
        self._encoder.refuse_long([id_of(row) for row in rows], cut)
        return [
            EncodedRow(id_of(row), found, label, len(found["input_ids"]), was_cut)
            for row, found, label, was_cut in zip(rows, inputs, labels, cut, strict=True)
        ]


def refuse_unlabelled(rows: Sequence[Row]) -> None:
    """Raise RowsUnfit naming rows without a label."""
    missing = [id_of(row) for row in rows if row.get("label") is None]
    if missing:
        refuse_rows(
            RowsUnfit,
            missing,
            "without a label",
            hint="Give each row its label; for test rows without one, send target 'prediction'.",
        )


def _check_texts(rows: Sequence[Row]) -> None:
    unfit = [id_of(row) for row in rows if not isinstance(row.get("text"), str)]
    if unfit:
        refuse_rows(
            RowsUnfit,
            unfit,
            "without 'text'",
            hint="This checkpoint reads texts: its rows have 'text' (and 'text_pair') and 'label'.",
        )

"""Sequence classification: a text, or a pair of texts, and one class."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from influence.contracts.tasks import SEQUENCE_CLASSIFICATION, TaskName
from influence.errors import LabelOutOfRange, LabelUnknown, RowsUnfit
from workers.batching.collate import collate_rows
from workers.gradients.losses import row_cross_entropy
from workers.rows import Batch, EncodedRow, Row
from workers.tasks.base import Materials, Prediction, RenderedRow
from workers.tasks.encoding import TextEncoder
from workers.tasks.refusals import refuse_rows

#: Rows that are predicted at once.
_PREDICT_ROWS = 32


class SequenceClassification:
    """Labels are class numbers, or names of `label_names` in the order of the head's outputs."""

    name: TaskName = SEQUENCE_CLASSIFICATION.name

    def __init__(
        self, encoder: TextEncoder, *, pad_id: int, num_labels: int, label_names: Sequence[str] | None = None
    ) -> None:
        self._encoder = encoder
        self._pad_id = pad_id
        self._num_labels = num_labels
        self._names = tuple(label_names) if label_names is not None else None
        self._classes = {name: place for place, name in enumerate(self._names or ())}

    @classmethod
    def make(cls, materials: Materials) -> "SequenceClassification":
        """The task of a loaded checkpoint. Raises TaskMismatch for a loss scope: the loss falls on the label."""
        materials.refuse_scope()
        return cls(
            materials.encoder,
            pad_id=materials.pad_id,
            num_labels=int(materials.model.config.num_labels),
            label_names=materials.checkpoint.label_names,
        )

    def tokenise(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode rows. Raises LabelOutOfRange, LabelUnknown, RowTooLong and RowsUnfit naming the rows."""
        _check_texts(rows)
        return self._encode(rows, self._labels(rows))

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        return collate_rows(rows, pad_token_id=self._pad_id)

    def row_losses(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        return row_cross_entropy(model(**batch.inputs).logits, batch.labels)

    def class_probabilities(self, model: torch.nn.Module, batch: Batch) -> Tensor:
        chances: Tensor = model(**batch.inputs).logits.float().softmax(dim=-1)
        return chances

    @torch.no_grad()
    def predict(self, model: torch.nn.Module, rows: Sequence[Row]) -> list[Prediction | None]:
        """The most probable class of each row; the first of equals."""
        _check_texts(rows)
        device = next(model.parameters()).device
        encoded = self._encode(rows, [0] * len(rows))
        found: list[Prediction | None] = []
        for start in range(0, len(rows), _PREDICT_ROWS):
            batch = self.collate(encoded[start : start + _PREDICT_ROWS]).to(device)
            best = self.class_probabilities(model, batch).cpu().max(dim=-1)
            found += [
                Prediction(label=self._spell(label), probability=chance)
                for label, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
        return found

    def with_prediction(self, row: Row, prediction: Prediction) -> Row:
        return {**row, "label": prediction.label}

    def render(self, row: Row) -> RenderedRow:
        _check_texts([row])
        (encoded,) = self._encode([row], [0])
        ids = encoded.inputs["input_ids"]
        return RenderedRow(self._encoder.decode(ids), self._encoder.tokens(ids), (False,) * len(ids), encoded.truncated)

    def _encode(self, rows: Sequence[Row], labels: Sequence[int]) -> list[EncodedRow]:
        if not rows:
            return []
        paired = [row.get("text_pair") is not None for row in rows]
        if any(paired) and not all(paired):
            alone = [_id(row) for row, has_pair in zip(rows, paired, strict=True) if not has_pair]
            refuse_rows(RowsUnfit, alone, "without 'text_pair' among rows with one", hint="Give every row its pair.")
        pairs = [str(row["text_pair"]) for row in rows] if all(paired) else None
        inputs, cut = self._encoder.encode_pairs([str(row["text"]) for row in rows], pairs)
        self._encoder.refuse_long([_id(row) for row in rows], cut)
        return [
            EncodedRow(_id(row), found, label, len(found["input_ids"]), was_cut)
            for row, found, label, was_cut in zip(rows, inputs, labels, cut, strict=True)
        ]

    def _labels(self, rows: Sequence[Row]) -> list[int]:
        missing = [_id(row) for row in rows if row.get("label") is None]
        if missing:
            refuse_rows(
                RowsUnfit,
                missing,
                "without a label",
                hint="Give each row its label; for test rows without one, send target 'prediction'.",
            )
        self._refuse_unknown_names(rows)
        labels = [self._classes[row["label"]] if isinstance(row["label"], str) else row["label"] for row in rows]
        outside = [_id(row) for row, label in zip(rows, labels, strict=True) if not self._is_class(label)]
        if outside:
            refuse_rows(
                LabelOutOfRange,
                outside,
                f"with a label outside 0 to {self._num_labels - 1}",
                hint=f"The classifier's head has {self._num_labels} outputs; count classes from 0.",
            )
        return labels

    def _refuse_unknown_names(self, rows: Sequence[Row]) -> None:
        unknown = [row for row in rows if isinstance(row["label"], str) and row["label"] not in self._classes]
        if not unknown:
            return
        known = f"Its names begin {', '.join(map(repr, self._names[:8]))}." if self._names else "It has no names."
        refuse_rows(
            LabelUnknown,
            [_id(row) for row in unknown],
            f"with a label that the checkpoint does not name (the first is {unknown[0]['label'][:80]!r})",
            hint=f"{known} Send the checkpoint with 'label_names', or label rows with class numbers.",
        )

    def _is_class(self, label: Any) -> bool:
        return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < self._num_labels

    def _spell(self, label: int) -> int | str:
        return label if self._names is None else self._names[label]


def _id(row: Row) -> str:
    return str(row.get("id", "?"))


def _check_texts(rows: Sequence[Row]) -> None:
    unfit = [_id(row) for row in rows if not isinstance(row.get("text"), str)]
    if unfit:
        refuse_rows(
            RowsUnfit,
            unfit,
            "without 'text'",
            hint="This checkpoint classifies texts: its rows have 'text' (and 'text_pair') and 'label'.",
        )

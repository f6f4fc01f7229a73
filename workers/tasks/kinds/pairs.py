"""What tasks share whose rows are two answers to one prompt: both are read as two copies of the row."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from influence.contracts.checkpoint import RowEnds
from influence.contracts.common import LossScope
from influence.errors import RowMasked, RowsUnfit
from workers.batching.collate import collate_rows
from workers.rows import IGNORED, Batch, EncodedRow, Row
from workers.tasks.base import Prediction, RenderedRow
from workers.tasks.chat.writing import UnknownMask
from workers.tasks.encoding import TextEncoder
from workers.tasks.refusals import id_of, refuse_rows
from workers.tasks.supervision import SupervisedText, Supervisor

_SIDES = ("chosen", "rejected")
#: Inputs of a batch that differ between the two answers.
_READ = ("input_ids", "attention_mask")


class Pairs:
    """Rows to batches of (B, 2, T): the preferred answer first. A task adds the loss, and what its labels are.

    A pair asks nothing, so that the model has no answer of its own to it.
    """

    #: Which tokens of a side the loss looks at.
    scope: LossScope

    def __init__(self, encoder: TextEncoder, ends: RowEnds | None = None) -> None:
        self._encoder = encoder
        # Where a template opens the answer otherwise than it asks for one, versions of TRL read different tokens.
        self._supervisor = Supervisor(encoder, self.scope, follows_prompt=True, ends=ends)

    def filler(self, sides: Sequence[EncodedRow]) -> int:
        """The id that the sides of a batch are padded with."""
        raise NotImplementedError

    def labels(self, row: Row, sides: Sequence[EncodedRow]) -> Any:
        """What the loss needs to know of a row beside its tokens."""
        raise NotImplementedError

    def tokenise(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode rows. Raises RowMasked, RowTooLong and RowsUnfit naming the rows."""
        pairs = [[self._encode(row, text) for text in self._read(row)] for row in rows]
        cut = [any(side.truncated for side in pair) for pair in pairs]
        self._encoder.refuse_long([id_of(row) for row in rows], cut)
        masked = [id_of(row) for row, pair in zip(rows, pairs, strict=True) if not all(map(_carries, pair))]
        if masked:
            refuse_rows(
                RowMasked,
                masked,
                f"with an answer that does not begin within {self._encoder.limit} tokens",
                hint="Raise max_length, shorten their prompts, or drop them.",
            )
        return [self._join(row, pair) for row, pair in zip(rows, pairs, strict=True)]

    def collate(self, rows: Sequence[EncodedRow]) -> Batch:
        sides = [side for row in rows for side in row.inputs["sides"]]
        flat = collate_rows(sides, pad_token_id=self.filler(sides))
        inputs = {name: _by_pair(values) for name, values in flat.inputs.items()}
        known = [row.labels for row in rows]
        labels = _by_pair(flat.labels) if known[0] is None else torch.tensor(known)
        return Batch(inputs, labels, copies=len(_SIDES), by_copy=tuple(inputs))

    def predict(self, model: nn.Module, rows: Sequence[Row]) -> list[Prediction | None]:
        """Nothing: a pair is no question."""
        return [None] * len(rows)

    def with_prediction(self, row: Row, prediction: Prediction) -> Row:
        return row

    def render(self, row: Row) -> RenderedRow:
        """Both answers after their prompt, one below the other."""
        texts = self._read(row)
        sides = [self._encode(row, text) for text in texts]
        tokens = tuple(token for side in sides for token in self._encoder.tokens(side.inputs["input_ids"]))
        supervised = tuple(label != IGNORED for side in sides for label in side.labels)
        return RenderedRow("\n".join(text.text for text in texts), tokens, supervised, any(s.truncated for s in sides))

    @torch.no_grad()
    def embed(self, model: Any, batch: Batch) -> Tensor:
        """The preferred answer after its prompt, as the mean of the last hidden states (B, width) at length 1."""
        base = getattr(model, "get_base_model", lambda: model)()
        chosen = {name: batch.inputs[name][:, 0] for name in _READ}
        hidden = base(**chosen, output_hidden_states=True).hidden_states[-1].float()
        mask = chosen["attention_mask"][:, :, None].to(hidden)
        return nn.functional.normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0), dim=1)

    def _read(self, row: Row) -> list[SupervisedText]:
        try:
            return [self._supervisor.encode(side_of(row, name)) for name in _SIDES]
        except UnknownMask as error:
            refuse_rows(
                RowsUnfit,
                [id_of(row)],
                f"whose answers cannot be told from their prompt: {error}",
                hint="Send prompt, chosen and rejected as text, rendered as in training.",
            )

    def _encode(self, row: Row, text: SupervisedText) -> EncodedRow:
        ids = text.ids[: self._encoder.limit]
        labels = [token if carries else IGNORED for token, carries in zip(ids, text.supervised, strict=False)]
        if labels:
            labels[0] = IGNORED  # nothing comes before it
        inputs = {"input_ids": ids, "attention_mask": [1] * len(ids)}
        return EncodedRow(id_of(row), inputs, labels, len(ids), truncated=len(text.ids) > len(ids))

    def _join(self, row: Row, sides: Sequence[EncodedRow]) -> EncodedRow:
        longest = max(side.length for side in sides)
        was_cut = any(side.truncated for side in sides)
        return EncodedRow(id_of(row), {"sides": sides}, self.labels(row, sides), len(_SIDES) * longest, was_cut)


def side_of(row: Row, name: str) -> Row:
    """One of a pair's answers after its prompt: a conversation, or a prompt with its completion."""
    if isinstance(row[name], str):
        return {"id": id_of(row), "prompt": row.get("prompt", ""), "completion": row[name]}
    prompt = list(row["prompt"])
    context = {field: row[field] for field in ("tools", "chat_template_kwargs") if field in row}
    return {"id": id_of(row), "messages": [*prompt, *row[name]], "completion_from": len(prompt), **context}


def flatten(batch: Batch) -> Mapping[str, Tensor]:
    """The inputs with both answers of a row one after the other, (2 B, T)."""
    return {name: values.flatten(0, 1) for name, values in batch.inputs.items()}


def _by_pair(values: Tensor) -> Tensor:
    return values.view(-1, len(_SIDES), *values.shape[1:])


def _carries(side: EncodedRow) -> bool:
    return any(label != IGNORED for label in side.labels)

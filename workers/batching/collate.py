"""Encoded rows into one padded batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workers.rows import IGNORED, Batch, EncodedRow

#: What a padded position holds, by input name; the token id is the tokenizer's.
_PADDING = {"attention_mask": 0, "token_type_ids": 0, "position_ids": 0}


def collate_rows(rows: Sequence[EncodedRow], *, pad_token_id: int) -> Batch:
    """Pad on the right to the longest row; fixed-shape inputs are stacked.

    Labels: one class a row -> (B,) long, one label a token -> (B, T) long, floats -> (B, C) float.
    """
    inputs = {name: _join([row.inputs[name] for row in rows], name, pad_token_id) for name in rows[0].inputs}
    return Batch(inputs, _join_labels([row.labels for row in rows]))


def _join(values: list[Any], name: str, pad_token_id: int) -> Tensor:
    if isinstance(values[0], Tensor):
        return torch.stack(values)
    return _pad(values, _PADDING.get(name, pad_token_id))


def _join_labels(labels: list[Any]) -> Tensor:
    if isinstance(labels[0], list):
        if labels[0] and isinstance(labels[0][0], float):
            return torch.tensor(labels)
        return _pad(labels, IGNORED)
    return torch.tensor(labels)


def _pad(lists: list[list[int]], filler: int) -> Tensor:
    longest = max(map(len, lists))
    return torch.tensor([values + [filler] * (longest - len(values)) for values in lists])

"""Encoded rows into one padded batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workers.rows import IGNORED, Batch, EncodedRow


def collate_rows(rows: Sequence[EncodedRow], *, pad_token_id: int) -> Batch:
    """Pad on the right to the longest row; fixed-shape inputs are stacked.

    Padding is never attended to: an attention mask is made where rows bring none. Labels: one class per row -> (B,)
    long, one label a token -> (B, T) long, floats -> (B,) or (B, C) float.
    """
    inputs = {name: _join([row.inputs[name] for row in rows], _filler(name, pad_token_id)) for name in rows[0].inputs}
    if "input_ids" in inputs and "attention_mask" not in inputs:
        inputs["attention_mask"] = _pad([[1] * len(row.inputs["input_ids"]) for row in rows], 0)
    return Batch(inputs, _join_labels([row.labels for row in rows]))


def _filler(name: str, pad_token_id: int) -> int:
    """What a padded position holds: the padding token among ids, zero in masks, types and positions."""
    return pad_token_id if name.endswith("input_ids") else 0


def _join(values: list[Any], filler: int) -> Tensor:
    if isinstance(values[0], Tensor):
        return torch.stack(values)
    return _pad(values, filler)


def _join_labels(labels: list[Any]) -> Tensor:
    if isinstance(labels[0], Tensor):
        return torch.stack(labels)
    if isinstance(labels[0], list):
        if labels[0] and isinstance(labels[0][0], float):
            return torch.tensor(labels)
        return _pad(labels, IGNORED)
    return torch.tensor(labels)


def _pad(lists: list[list[int]], filler: int) -> Tensor:
    longest = max(map(len, lists))
    return torch.tensor([values + [filler] * (longest - len(values)) for values in lists])

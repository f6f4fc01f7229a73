"""Where a decoder that classifies reads its answer: at the last token that is not its configuration's padding id.

Rows are padded with that id, so that the model finds in a batch what it finds in a row alone. With no such id it reads
a row alone at its very end: then each batch is padded with an id that ends none of its rows, and the model is told that
id while it computes the batch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from workers.rows import Batch, EncodedRow


def configured_padding(config: Any, entries: int) -> int | None:
    """The padding id of a model's configuration, where it is one of the `entries` of its embeddings."""
    found = getattr(config.get_text_config(), "pad_token_id", None)
    return found if isinstance(found, int) and 0 <= found < entries else None


def choose_filler(rows: Sequence[EncodedRow]) -> int:
    """An id that is the last of no row."""
    return _smallest_other({row.inputs["input_ids"][-1] for row in rows})


@contextmanager
def told_padding(model: torch.nn.Module, batch: Batch) -> Iterator[None]:
    """Let a model without a padding id know what a batch that `choose_filler` was asked for is padded with."""
    whole: Any = model
    config = whole.config.get_text_config()
    before = config.pad_token_id
    config.pad_token_id = _filler_of(batch)
    try:
        yield
    finally:
        config.pad_token_id = before


def _filler_of(batch: Batch) -> int:
    ids, padded = batch.inputs["input_ids"], batch.inputs["attention_mask"] == 0
    if bool(padded.any()):
        return int(ids[padded][0])
    return _smallest_other(set(ids[:, -1].tolist()))


def _smallest_other(taken: set[int]) -> int:
    return next(number for number in range(len(taken) + 1) if number not in taken)

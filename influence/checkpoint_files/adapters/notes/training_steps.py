"""The steps of a training, as far as a trainer's files say it: of how many rows they were, how these weighed, and by
which optimiser they were taken.

Where a step's loss is divided by all of its tokens that carry loss, rows weigh by theirs. transformers does so since
4.46 over the batches of a step together, and before that batch by batch; trainers that are built on it follow.
"""

import re
from collections.abc import Mapping
from math import prod
from typing import Any

from influence.contracts.common import Reduction

#: What a `Trainer` is called here that is of no other library.
TRANSFORMERS = "transformers"
_BY_TOKENS = frozenset({TRANSFORMERS, "TRL", "Unsloth", "LLaMA-Factory", "ms-swift", "Axolotl", "AutoTrain"})
#: What trainers call the rows of a step on all devices, those of a batch, and the batches of a step.
_ALL = "total_train_batch_size"
_ROWS = ("per_device_train_batch_size", "train_batch_size", "micro_batch_size", "batch_size")
_BATCHES = ("gradient_accumulation_steps", "gradient_accumulation")
_MOST_ROWS = 1 << 20
#: Where several rows make a sequence, steps are of sequences.
_PACKING = ("packing", "sample_packing", "neat_packing")
#: What trainers call the optimiser, and words around its name in a card of transformers.
_OPTIMISERS = ("optim", "optimizer")
_AROUND = ("use", "optimizernames")
_WORD = re.compile(r"[a-z0-9_]+")
_MOST_LETTERS = 40


def find_reduction(trainer: str | None, fields: Mapping[str, Any]) -> Reduction | None:
    """Of losses on tokens: what a row's loss was in training, up to a factor that all rows share. None where nothing
    says, and where steps may have been of one row each, on which mean and sum weigh alike."""
    return "sum" if trainer in _BY_TOKENS and find_step_rows(fields) != 1 else None


def find_step_rows(fields: Mapping[str, Any]) -> int | None:
    """Rows of a step, on one device where the files do not say on how many; None where they do not say it."""
    if any(fields.get(name) is True for name in _PACKING):
        return None
    if _is_count(fields.get(_ALL)):
        return int(min(fields[_ALL], _MOST_ROWS))
    rows, batches = ([fields[name] for name in names if _is_count(fields.get(name))] for names in (_ROWS, _BATCHES))
    return int(min(prod((rows[0], *batches[:1])), _MOST_ROWS)) if rows else None


def find_optimiser(fields: Mapping[str, Any]) -> str | None:
    """The optimiser's name in small letters, such as `adamw_torch` or `sgd`."""
    said = next((fields[name] for name in _OPTIMISERS if isinstance(fields.get(name), str)), "")
    words = (word for word in _WORD.findall(said[:200].lower()) if word not in _AROUND)
    return next(words, "")[:_MOST_LETTERS] or None


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1

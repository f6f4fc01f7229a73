"""How trainers weigh the rows of a step: by their tokens that carry loss, where the step's loss is divided by all of
those.

transformers does so since 4.46 over the batches of a step together, and before that batch by batch; trainers that are
built on it follow.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

from influence.contracts.common import Reduction

#: What a `Trainer` is called here that is of no other library.
TRANSFORMERS = "transformers"
_BY_TOKENS = frozenset({TRANSFORMERS, "TRL", "Unsloth", "LLaMA-Factory", "ms-swift", "Axolotl", "AutoTrain"})
#: What trainers call the rows of a batch, and the batches of a step.
_ROWS = ("per_device_train_batch_size", "train_batch_size", "micro_batch_size", "batch_size")
_BATCHES = ("gradient_accumulation_steps", "gradient_accumulation")


def find_reduction(trainer: str | None, fields: Mapping[str, Any]) -> Reduction | None:
    """Of losses on tokens: what a row's loss was in training, up to a factor that all rows share. None where nothing
    says, and where steps may have been of one row each, on which mean and sum weigh alike."""
    if trainer not in _BY_TOKENS:
        return None
    said = [fields[name] for names in (_ROWS, _BATCHES) for name in names if _is_count(fields.get(name))]
    return None if said and prod(said) == 1 else "sum"


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1

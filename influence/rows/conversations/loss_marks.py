"""What a message says of its own loss: a turn carries its loss whole or not at all, or the row is refused."""

import re
from collections.abc import Mapping
from typing import Any

from influence.errors import BrokenRow
from influence.rows.findings import Note

#: Fields that say whether a turn carried loss, as trainers call them: 1 or true where it did.
LOSS_FIELDS = (
    "weight",
    "train",
    "training",
    "trainable",
    "loss",
    "loss_mask",
    "loss_scale",
    "loss_weight",
    "step_loss_mask",
)
#: Fields that say so for parts of a turn, or leave open which of two values it is that mutes one.
_UNCLEAR_FIELDS = ("train_detail", "training_detail", "mask", "masked")
#: Words of names that no trainer known here uses, and that may say the same.
_OF_LOSS = frozenset({"loss", "mask", "masked", "masks", "train", "trainable", "training", "weight", "weights"})
_WORDS = re.compile(r"[a-z]+|[A-Z][a-z]*")
_HINT = (
    'A turn counts whole or not at all: write "weight": 1 or 0 in its place, or send the row as a prompt and a '
    "completion, parted where its loss began."
)


def check_loss_marks(extras: Mapping[str, Any], role: str, where: str, note: Note) -> None:
    """Raise BrokenRow for a mark that is no 0 or 1, not an assistant's or of no known meaning; note a muted turn."""
    for name, value in extras.items():
        if name in LOSS_FIELDS:
            _check_mark(name, value, role, where)
            if not value and role == "assistant":
                note("turns_without_loss", name)
        elif name in _UNCLEAR_FIELDS and value not in ([], ""):
            raise BrokenRow(
                f"{where} has the field {name!r}, which says what parts of the turn carried loss, or how much.",
                hint=_HINT,
            )
        elif _may_be_a_mark(name, value):
            raise BrokenRow(
                f"{where} has the field {name[:80]!r}, which may say whether the turn carried loss.", hint=_HINT
            )


def _check_mark(name: str, value: Any, role: str, where: str) -> None:
    if isinstance(value, list | dict):
        raise BrokenRow(
            f"{where} has the field {name!r}, which says what parts of the turn carried loss, or how much.", hint=_HINT
        )
    if value not in (0, 1):
        raise BrokenRow(f"{where} has the {name} {str(value)[:40]!r}.", hint="A turn counts whole (1) or not (0).")
    if value and role != "assistant":
        raise BrokenRow(
            f"{where} is a turn of role {role!r} with {name} {value!r}.",
            hint="Only the assistant's turns carry loss here: remove the field, or send loss 'all' without it.",
        )


def _may_be_a_mark(name: str, value: Any) -> bool:
    """Whether a field is called after loss and holds no words: `token_weights`, `trainOnTurn`."""
    words = {word.lower() for word in _WORDS.findall(name)}
    return not isinstance(value, str) and not words.isdisjoint(_OF_LOSS)


def carries_loss(message: Mapping[str, Any]) -> bool:
    """Whether a turn's own fields leave it its loss."""
    return all(message.get(name, 1) for name in LOSS_FIELDS)

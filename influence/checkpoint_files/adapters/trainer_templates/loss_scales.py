"""ms-swift's `loss_scale`: where its loss falls, and what of thoughts carries none."""

from collections.abc import Collection, Mapping
from typing import Any

from influence.checkpoint_files.adapters.trainer_templates.known import has_thoughts, is_plain
from influence.contracts.checkpoint import ThoughtRule
from influence.contracts.common import LossScope

#: ms-swift's names of where the loss falls; its others weigh parts of a turn.
SCALES: Mapping[str, LossScope] = {"default": "assistant", "last_round": "completion", "all": "all"}
_MUTES_EMPTY, _MUTES_OPENING = "ignore_empty_think", "ignore_think_prefix"
#: What of it weighs nothing, and what is followed where the template is known: each part reads what those before left.
_NEUTRAL = ("", "-", "base")
FOLLOWED = ([_MUTES_EMPTY], [_MUTES_OPENING], [_MUTES_EMPTY, _MUTES_OPENING])
#: What the last round without empty thoughts was called before parts could be joined.
_OLDER_LAST_ROUND = "last_round_with_ignore_empty_think"


def split_scale(scale: str) -> list[str]:
    """ms-swift's base strategy, and what weighs the loss beside it. Its parts stand between `+`; without a base it is
    'default'."""
    base, *parts = scale.split("+")
    if not scale:
        return [""]
    if base == _OLDER_LAST_ROUND:
        return ["last_round", _MUTES_EMPTY, *parts]
    if base not in SCALES:
        base, parts = "default", [base, *parts]
    return [base, *(part for part in parts if part not in _NEUTRAL)]


def find_thoughts(
    fields: Mapping[str, Any], name: str | None, base: str, parts: Collection[str]
) -> tuple[ThoughtRule, ...] | None:
    """What became of thoughts, as far as the template is known; None of versions before 3.12 where it has thoughts, for
    they differ and do not say which they are."""
    muted: dict[ThoughtRule, bool] = {
        "empty_without_loss": _MUTES_EMPTY in parts,
        "opening_without_loss": _MUTES_OPENING in parts,
    }
    writes = fields.get("add_non_thinking_prefix")
    if not has_thoughts("ms-swift", name):
        found = muted
        is_known = is_plain("ms-swift", name) and any(muted.values())
    else:
        is_known = isinstance(writes, bool)
        is_last = base == "last_round"
        keeps = fields.get("preserve_thinking")
        found = {
            "empty_written": bool(writes) and not is_last,
            "last_empty_written": bool(writes) and is_last,
            **muted,
            "former_removed": not (keeps if isinstance(keeps, bool) else not is_last),
        }
    return tuple(rule for rule, holds in found.items() if holds) if is_known else None

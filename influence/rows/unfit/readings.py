"""Columns that can be read in several ways: what each of them means, and what to send for it."""

from collections.abc import Mapping, Sequence

from influence.contracts.dataset import CLASSIFICATION, COMPLETION, CONVERSATION, PREFERENCE, TEXT, RowKind
from influence.digests import canonical_json
from influence.rows.roles import BESIDE, KINDS, key_of

#: What each kind of row is for.
_MEANT = {
    CLASSIFICATION.name: "for a classifier, which reads the texts and gives the class,",
    COMPLETION.name: "for a language model that was trained on the answers",
    TEXT.name: "for a language model that was trained on the text",
    CONVERSATION.name: "for a language model that was trained on the conversation",
    PREFERENCE.name: "for training on preferences",
}


def say_readings(readings: Sequence[Mapping[str, str]]) -> str:
    """Which columns to send for which reading."""
    return _say_kinds(readings) + _say_recipe(readings)


def send_columns(columns: Mapping[str, str], opening: str = "Send") -> str:
    """What to send, in the words of a hint."""
    return f"{opening} columns={canonical_json(dict(columns)).decode()}."


def _say_kinds(readings: Sequence[Mapping[str, str]]) -> str:
    """Which columns to send for each reading, with what it makes of the rows."""
    kinds: dict[RowKind | None, Mapping[str, str]] = {}
    for reading in readings:
        kinds.setdefault(KINDS.get(frozenset(reading) - BESIDE), reading)
    if len(kinds) == 1 or None in kinds:
        return send_columns(readings[0], "Say which one you mean, for instance with")
    told = (send_columns(reading, _MEANT.get(str(kind), "to have them so")) for kind, reading in kinds.items())
    said = "; ".join(one.rstrip(".") for one in told)
    judged = COMPLETION.name in kinds and CLASSIFICATION.name in kinds
    left = " Answers that were judged wrong were hardly trained on: leave such rows out then." if judged else ""
    opening = "Say which one you mean" if len(kinds) == len(readings) else "Say which one you mean, for instance"
    return f"{opening}: {said}.{left}"


def _say_recipe(readings: Sequence[Mapping[str, str]]) -> str:
    """What to know of readings that leave a context out, or put it into a prompt of one recipe."""
    made = next((reading for reading in readings if "input" in reading and "completion" not in reading), None)
    if made is None or key_of(made["instruction"]) == "instruction":
        return ""
    column = made["input"][:80]
    return (
        f" Where training read {column!r} as well, put it into the prompt's text as in training; the roles "
        "'instruction', 'input' and 'output' make the prompt of the Stanford Alpaca recipe."
    )

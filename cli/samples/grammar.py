"""A small text grammar: `(a|b|)` chooses one alternative, `{slot}` fills in a word; both may nest."""

import random
from collections.abc import Callable, Mapping

#: Makes the words of a slot.
Slot = Callable[[random.Random], str]


def expand(pattern: str, rng: random.Random, slots: Mapping[str, Slot]) -> str:
    """One sentence of a pattern; spaces that empty alternatives leave behind are closed up.

    Raises KeyError for an unknown slot, ValueError for unbalanced brackets.
    """
    text, rest = _sequence(pattern, rng, slots)
    if rest:
        raise ValueError(f"unbalanced brackets in {pattern!r}")
    text = " ".join(text.split())
    for mark in ",.?!;:":
        text = text.replace(f" {mark}", mark)
    return text


def _sequence(text: str, rng: random.Random, slots: Mapping[str, Slot]) -> tuple[str, str]:
    """Expand up to an unopened `|` or `)`; answers what was made and what is left."""
    made: list[str] = []
    while text and text[0] not in "|)":
        if text[0] == "(":
            piece, text = _choice(text[1:], rng, slots)
        elif text[0] == "{":
            name, _, text = text[1:].partition("}")
            piece = slots[name](rng)
        else:
            end = next((index for index, letter in enumerate(text) if letter in "({|)"), len(text))
            piece, text = text[:end], text[end:]
        made.append(piece)
    return "".join(made), text


def _choice(text: str, rng: random.Random, slots: Mapping[str, Slot]) -> tuple[str, str]:
    """Expand the inside of a bracket, which was opened before `text`."""
    options: list[str] = []
    while True:
        option, text = _sequence(text, rng, slots)
        options.append(option)
        if not text:
            raise ValueError("a bracket is not closed")
        mark, text = text[0], text[1:]
        if mark == ")":
            return rng.choice(options), text

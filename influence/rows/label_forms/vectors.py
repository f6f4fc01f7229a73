"""Vectors of 0 and 1, one for each class, that are written as texts."""

import re
from collections.abc import Iterable

_VECTOR = re.compile(r"[\[(]?\s*([01](?:[\s,;|]*[01])+)\s*[\])]?")
_DIGIT = re.compile(r"[01]")


def read_vector(text: str) -> list[int] | None:
    """The places of a text such as `0 1 0`, `0,1,0`, `[0 1 0]` or `010`; None for any other."""
    found = _VECTOR.fullmatch(text.strip())
    return [int(digit) for digit in _DIGIT.findall(found[1])] if found else None


def are_vectors(texts: Iterable[str]) -> bool:
    """Whether all of these are vectors of one length, and there are some."""
    lengths = {None if (found := read_vector(text)) is None else len(found) for text in texts}
    return len(lengths) == 1 and None not in lengths

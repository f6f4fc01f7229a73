"""Expectations about what is printed."""

import unicodedata
from collections.abc import Callable

from click.testing import Result

#: Runs the command line with arguments.
Call = Callable[..., Result]


def assert_harmless(text: str) -> None:
    """Nothing printed can steer a terminal."""
    assert not [character for character in text if character != "\n" and unicodedata.category(character) == "Cc"]
    assert "\u202e" not in text

"""Calling the command line, and what it may print."""

import unicodedata
from collections.abc import Callable

from typer.testing import Result

#: Takes a command with its arguments.
Call = Callable[..., Result]


def assert_harmless(text: str) -> None:
    """No control character but line breaks, and nothing that turns text around."""
    assert not [character for character in text if character != "\n" and unicodedata.category(character) == "Cc"]
    assert "\u202e" not in text

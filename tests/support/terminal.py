"""What may be printed."""

import unicodedata


def assert_harmless(text: str) -> None:
    """No control character but line breaks, and nothing that turns text around."""
    assert not [character for character in text if character != "\n" and unicodedata.category(character) == "Cc"]
    assert "\u202e" not in text

"""Making text from strangers fit to be shown. Rows, ids and log lines may hold anything."""

import unicodedata

#: Joins emoji; harmless alone.
_ALLOWED_FORMAT = frozenset("\u200d\u200c")
#: Controls, formats (bidirectional overrides among them), surrogates, private use, line and paragraph separators.
_HOSTILE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def plain(value: object, limit: int | None = None) -> str:
    """One printable line: line breaks and tabs become spaces, other control characters are written out."""
    text = str(value)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(_show(character) for character in text)


def _show(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) not in _HOSTILE_CATEGORIES or character in _ALLOWED_FORMAT:
        return character
    return (
        character.encode("ascii", "backslashreplace").decode() if ord(character) > 127 else f"\\x{ord(character):02x}"
    )


def count(number: float) -> str:
    """A whole number with thousands apart."""
    return f"{number:,.0f}"


def duration_text(seconds: float) -> str:
    """A stretch of time for people."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"

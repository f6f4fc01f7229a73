"""Numbers as people want to read them: as many digits as carry something."""

import math

from influence.contracts.evaluation.report import Cell

#: Digits of a number that stands alone.
_DIGITS = 3
_MAX_DECIMALS = 6


def cell_text(value: Cell) -> str:
    """A cell: whole numbers with thousands apart, others to three digits, nothing as a dash."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else number_text(value)


def number_text(value: float) -> str:
    """Three digits; powers of ten only where a number is very large or very small."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e7 or size < 1e-4:
        return f"{value:.{_DIGITS - 1}e}"
    return f"{value:,.{_decimals(size, _DIGITS)}f}"


def interval_text(value: float, low: float, high: float) -> str:
    """`0.931 (0.917 to 0.944)`: digits stop where half the interval's length says that they mean nothing any more.

    Of that length one digit counts, or two where it begins with 1 or 2.
    """
    half = (high - low) / 2
    if not all(map(math.isfinite, (value, low, high))) or half <= 0:
        return number_text(value)
    if abs(value) >= 1e7 or half < 10.0**-_MAX_DECIMALS:
        return f"{number_text(value)} ({number_text(low)} to {number_text(high)})"
    leading = half / 10.0 ** math.floor(math.log10(half))
    decimals = _decimals(half, 2 if leading < 3 else 1)
    return f"{value:,.{decimals}f} ({low:,.{decimals}f} to {high:,.{decimals}f})"


def _decimals(size: float, digits: int) -> int:
    """Decimal places that show so many digits of a positive number."""
    return min(max(digits - 1 - math.floor(math.log10(size)), 0), _MAX_DECIMALS)


def count_of(number: int, what: str) -> str:
    """`1 seed`, `3 seeds`: a number of things whose plural takes an s."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"

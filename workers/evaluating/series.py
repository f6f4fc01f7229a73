"""What a report's pictures draw, from the figures behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

from influence.contracts.evaluation import Series


def with_interval(label: str, x: Sequence[float | str], figures: Sequence[Mapping[str, Any]], value: str) -> Series:
    """A series with an interval from the figures at each x: the value under that name, its ends as `low` and `high`."""
    y, low, high = (tuple(one[name] for one in figures) for name in (value, "low", "high"))
    return Series(label=label, x=tuple(x), y=y, low=low, high=high)


def curves(figures: Mapping[str, Mapping[str, Any]], x: Sequence[int], value: str) -> tuple[Series, ...]:
    """A series with intervals a line of `figures`, which are by the line's label and then by x as JSON names it."""
    return tuple(with_interval(label, x, [by_x[str(at)] for at in x], value) for label, by_x in figures.items())

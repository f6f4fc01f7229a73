"""Sums of float32 numbers without rounding: the same however the numbers are cut into parts.

Numbers of one power of two are whole multiples of one unit below 2^24, which float64 adds up without rounding; what the
powers add up to is kept in whole numbers.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from influence.arrays import spans

#: The smallest float32 is 2^-149; mantissas have 24 bits, here as two halves.
_SMALLEST, _HALF = 149, 12
#: Numbers added at once: 2^24 times as many fit float64's 53 bits.
_AT_ONCE = 1 << 16
#: Bounds of the powers of two, from the subnormal numbers up; infinity is none of them.
_POWERS = np.concatenate([[0.0], 2.0 ** np.arange(-126, 128)]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ExactSums:
    """The `total` of `count` numbers in units of 2^-149, and of their `squares` in units of 2^-298."""

    count: int = 0
    total: int = 0
    squares: int = 0

    def __add__(self, other: "ExactSums") -> "ExactSums":
        return ExactSums(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def __sub__(self, other: "ExactSums") -> "ExactSums":
        return ExactSums(self.count - other.count, self.total - other.total, self.squares - other.squares)

    @property
    def mean(self) -> float:
        """Rounded once."""
        return float(Fraction(self.total, self.count << _SMALLEST))

    @property
    def deviation(self) -> float:
        """The root of the mean squared distance from the mean."""
        spread = self.count * self.squares - self.total * self.total
        return math.sqrt(Fraction(spread, (self.count * self.count) << (2 * _SMALLEST)))


def sum_exactly(ascending: NDArray[np.float32]) -> ExactSums:
    """The sums of finite numbers (n,) in ascending order."""
    first = int(np.searchsorted(ascending, 0.0, side="left"))
    below, above = _sum_powers(-ascending[:first][::-1]), _sum_powers(ascending[first:])
    return ExactSums(len(ascending), above[0] - below[0], above[1] + below[1])


def _sum_powers(sizes: NDArray[np.float32]) -> tuple[int, int]:
    """The sum of sizes in ascending order, and of their squares, in the units of `ExactSums`."""
    bounds = [*np.searchsorted(sizes, _POWERS).tolist(), len(sizes)]
    total = squares = 0
    for power, (start, stop) in enumerate(pairwise(bounds)):
        # Units of the subnormal numbers and of the smallest power are the same.
        unit = max(power - 1, 0)
        for first, last in spans(stop - start, _AT_ONCE):
            high, low = _halve(sizes[start + first : start + last], unit)
            total += (int(high.sum()) << _HALF) + int(low.sum()) << unit
            twice = (int(high @ high) << 2 * _HALF) + (int(high @ low) << _HALF + 1) + int(low @ low)
            squares += twice << 2 * unit
    return total, squares


def _halve(sizes: NDArray[np.float32], unit: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mantissas as whole numbers, upper and lower half."""
    whole = sizes.astype(np.float64) * 2.0 ** (_SMALLEST - unit)
    high = np.floor(whole * 2.0**-_HALF)
    return high, whole - high * 2.0**_HALF

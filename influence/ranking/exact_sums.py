"""Sums of float32 numbers without rounding: the same however the numbers are cut into parts.

A few thousand numbers at a time are whole multiples of one unit that is small beside the largest of them, and float64
adds such numbers up, and products of their halves, without rounding; what pieces add up to is kept in whole numbers.
The few that are so small that they have digits below the unit wait, and are summed with their like.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from influence.arrays import spans

#: The smallest float32 is 2^-149.
_SMALLEST = 149
#: Numbers of a piece, which stay in a processor's cache with what is made of them; products of fewer than 10,000
#: numbers are made by one thread: more would wait for each other where each core has its own work.
_PIECE_BITS = 13
_PIECE = 1 << _PIECE_BITS
#: Binary digits of a number in units of its piece: 24 are its own, the others how much smaller than the largest it may
#: be. Each half's products with another, added up over a piece, have to fit 53.
_DIGITS, _OWN, _LOW_HALF = 36, 24, 18

Numbers = NDArray[np.float32]
Doubles = NDArray[np.float64]


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


def sum_exactly(numbers: Numbers) -> ExactSums:
    """The sums of finite numbers (n,) in any order."""
    count, total, squares = len(numbers), 0, 0
    rooms = np.empty((2, _PIECE))
    while len(numbers):
        late = [numbers[:0]]
        for start, stop in spans(len(numbers), _PIECE):
            piece = numbers[start:stop]
            high, low = rooms[:, : len(piece)]
            sizes = np.abs(piece)
            # The largest is below 2^exponent; what is below 2^-149 is no digit of any.
            unit = max(math.frexp(float(sizes.max()))[1] - _DIGITS, -_SMALLEST)
            np.copyto(low, piece)
            if unit > -_SMALLEST:
                small = np.flatnonzero(sizes < np.float32(2.0 ** (unit + _OWN - 1)))
                late.append(piece[small])
                low[small] = 0.0
            found = _sum_multiples(high, low, unit)
            total += found[0] << (unit + _SMALLEST)
            squares += found[1] << 2 * (unit + _SMALLEST)
        numbers = np.concatenate(late)
        numbers = numbers[numbers != 0]
    return ExactSums(count, total, squares)


def _sum_multiples(high: Doubles, low: Doubles, unit: int) -> tuple[int, int]:
    """The sum of multiples of 2^unit, given in `low`, in units, and of their squares in square units."""
    # Beside so large a number a float64 has no digits below the upper half's last.
    rounder = 1.5 * 2.0 ** (52 + unit + _LOW_HALF)
    np.add(low, rounder, out=high)
    np.subtract(high, rounder, out=high)
    total = int(low.sum() * 2.0**-unit)
    np.subtract(low, high, out=low)
    squares = int((high @ high) * 2.0 ** (-2 * (unit + _LOW_HALF))) << 2 * _LOW_HALF
    squares += int((high @ low) * 2.0 ** (-2 * unit - _LOW_HALF)) << _LOW_HALF + 1
    return total, squares + int((low @ low) * 2.0 ** (-2 * unit))

"""Solves of symmetric positive definite systems with code that numpy and torch share, in float64."""

from collections.abc import Callable, Sequence

from influence.arrays import Array, namespace, spans
from influence.methods.algebra.blocks import JOINED_BYTES, TrainBlock

#: Rows of a triangular factor that are eliminated at a time.
SUBSTITUTION_ROWS = 256

#: Fewest rows of a tile of a Gram matrix: narrower matrix products waste the processor.
TILE_ROWS = 256

Matrices = list[Array]


def cholesky(matrix: Array) -> Array:
    """Lower factor L of a positive definite matrix (order x order), of which only the lower half is read."""
    result: Array = namespace(matrix).linalg.cholesky(matrix)
    return result


def solve_cholesky(factor: Array, right: Array) -> Array:
    """Solve `L L' x = right` for columns (order, m): neither numpy nor the shared names have a triangular solve."""
    solve = namespace(factor).linalg.solve
    cuts = list(spans(int(factor.shape[0]), SUBSTITUTION_ROWS))
    answer = right + 0.0
    for start, stop in cuts:
        rest = answer[start:stop] - factor[start:stop, :start] @ answer[:start]
        answer[start:stop] = solve(factor[start:stop, start:stop], rest)
    for start, stop in reversed(cuts):
        rest = answer[start:stop] - factor[stop:, start:stop].T @ answer[stop:]
        answer[start:stop] = solve(factor[start:stop, start:stop].T, rest)
    result: Array = answer
    return result


def add_gram(total: Array, block: TrainBlock, weight: float) -> None:
    """Add `weight * X X'` to the lower half of total (n x n, float64), tile by tile.

    In float64 also for float32 rows: a block's largest eigenvalue can be 3e4 times the damping, and rounding
    of the products is magnified by as much (1e-4 of a score, measured).
    """
    if block.gram is not None:
        total += weight * block.gram
        return
    tiles = list(spans(block.rows, max(TILE_ROWS, JOINED_BYTES // (8 * block.width))))
    for start, stop in tiles:
        left = block.between(start, stop, "float64")
        # A matrix times its own transpose: numpy then computes one half only.
        total[start:stop, start:stop] += weight * (left @ left.T)
        for begin, end in tiles:
            if begin < start:
                total[start:stop, begin:end] += weight * (left @ block.between(begin, end, "float64").T)


def conjugate_gradients(
    multiply: Callable[[Matrices], Matrices], right: Matrices, *, tolerance: float, iterations: int
) -> tuple[Matrices, float]:
    """Solve `A x = right` for m right sides at once, each a row of every matrix (m, width) of the list.

    A is symmetric positive definite and given by its product. Returns the solution and the largest residual
    relative to its right side; stops when that is below `tolerance` or after `iterations` products.
    """
    answer = [matrix * 0.0 for matrix in right]
    residual = [matrix + 0.0 for matrix in right]
    step = residual
    size = goal = _dots(residual, residual)
    worst = 1.0
    for _ in range(iterations):
        turned = multiply(step)
        length = _ratio(size, _dots(step, turned))
        answer = _shift(answer, length, step)
        residual = _shift(residual, -length, turned)
        previous, size = size, _dots(residual, residual)
        worst = float(_ratio(size, goal).max()) ** 0.5
        if worst <= tolerance:
            break
        step = _shift(residual, _ratio(size, previous), step)
    return answer, worst


def _dots(left: Sequence[Array], right: Sequence[Array]) -> Array:
    result: Array = sum((a * b).sum(1) for a, b in zip(left, right, strict=True))
    return result


def _shift(start: Sequence[Array], length: Array, step: Sequence[Array]) -> Matrices:
    return [a + length[:, None] * b for a, b in zip(start, step, strict=True)]


def _ratio(above: Array, below: Array) -> Array:
    """above / below, 0 where a right side is all zero or solved to the last bit."""
    empty = below <= 0
    result: Array = above * ~empty / (below + empty)
    return result

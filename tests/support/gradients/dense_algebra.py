"""The methods once more, in dense float64 algebra with explicit matrices and loops: what the tests compare with."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.methods.algebra.blocks import TrainBlock
from influence.methods.base import Method

#: Float64 arrays; gradients are (rows, width).
Floats = NDArray[np.float64]
#: Gradients by block.
Gradients = Mapping[str, Floats]
#: Influence (points, rows) that a block adds: of its training gradients, test gradients and name.
Contribution = Callable[[Floats, Floats, str], Floats]
#: Turns a float64 numpy array into one of another library or type.
Convert = Callable[..., Any]


def changed(method: Method[Any], **fields: Any) -> Method[Any]:
    """A method with other options than it is registered with; all methods are frozen dataclasses."""
    copy: Any = method
    made: Method[Any] = replace(copy, **fields)
    return made


def random_problem(
    seed: int, rows: int, widths: tuple[int, ...], points: int = 3, dead: int | None = None
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Training (n, d) and test (m, d) gradients per block, sizes and spectra as uneven as real ones."""
    random = np.random.default_rng(seed)
    train: dict[str, Floats] = {}
    test: dict[str, Floats] = {}
    for index, width in enumerate(widths):
        name = f"block{index}"
        spectrum = 3.0 ** -np.arange(width, dtype=np.float64) if index % 2 else np.ones(width)
        size = 10.0 ** -(index % 3)
        train[name] = size * random.standard_normal((rows, width)) * spectrum
        test[name] = size * random.standard_normal((points, width)) * spectrum
        if index == dead:
            train[name] *= 0.0
    return train, test


def as_blocks(train: Gradients, convert: Convert = lambda array: array) -> dict[str, TrainBlock]:
    """Blocks with Kronecker factors such as rows of one position each would give."""
    return {name: replace(TrainBlock.of(convert(rows)), factors=factors_of(rows)) for name, rows in train.items()}


def factors_of(rows: Floats) -> tuple[Floats, Floats]:
    """Means of G G' and G' G over rows read as matrices G (p, q), p the largest divisor up to the root of the width."""
    width = rows.shape[1]
    sides = max(side for side in range(1, int(width**0.5) + 1) if width % side == 0)
    matrices = rows.reshape(len(rows), sides, -1)
    count = max(len(rows), 1)
    return (
        np.einsum("npq,nrq->pr", matrices, matrices) / count,
        np.einsum("npq,npr->qr", matrices, matrices) / count,
    )


def dampings(train: Gradients, scale: float) -> dict[str, float]:
    return {name: scale * np.mean(np.sum(rows**2, 1)) / rows.shape[1] for name, rows in train.items()}


def total(train: Gradients, test: Gradients, contribution: Contribution) -> Floats:
    """Sum of a block's influence over the blocks that have gradients."""
    parts = [contribution(train[name], test[name], name) for name in train if np.any(train[name])]
    start = np.zeros((len(next(iter(test.values()))), len(next(iter(train.values())))))
    return sum(parts, start)


def datainf(train: Gradients, test: Gradients, scale: float) -> Floats:
    lambdas = dampings(train, scale)

    def contribution(rows: Floats, points: Floats, name: str) -> Floats:
        width = rows.shape[1]
        inverses = [np.linalg.inv(np.outer(row, row) + lambdas[name] * np.eye(width)) for row in rows]
        mean: Floats = np.mean(inverses, axis=0)
        return -points @ mean @ rows.T

    return total(train, test, contribution)


def curvature(rows: Floats, damping: float) -> Floats:
    return rows.T @ rows / len(rows) + damping * np.eye(rows.shape[1])


def exact(train: Gradients, test: Gradients, scale: float) -> Floats:
    lambdas = dampings(train, scale)
    return total(
        train, test, lambda rows, points, name: -points @ np.linalg.inv(curvature(rows, lambdas[name])) @ rows.T
    )


def proximal(train: Gradients, test: Gradients, scale: float) -> Floats:
    lambdas = dampings(train, scale)

    def contribution(rows: Floats, points: Floats, name: str) -> Floats:
        matrix = np.eye(rows.shape[1]) + rows.T @ rows / (len(rows) * lambdas[name])
        return -points @ np.linalg.inv(matrix) @ rows.T

    return total(train, test, contribution)


def joint(train: Gradients, test: Gradients, scale: float) -> Floats:
    alive = [name for name in train if np.any(train[name])]
    lambdas = dampings(train, scale)
    rows = np.concatenate([train[name] for name in alive], 1)
    points = np.concatenate([test[name] for name in alive], 1)
    diagonal = np.concatenate([np.full(train[name].shape[1], lambdas[name]) for name in alive])
    scores: Floats = -points @ np.linalg.inv(curvature(rows, 0.0) + np.diag(diagonal)) @ rows.T
    return scores


def preconditioned(train: Gradients, test: Gradients, scale: float, batch_rows: int = 1) -> Floats:
    """Adam's preconditioner and the filter written out over all parameters at once."""
    alive = [name for name in train if np.any(train[name])]
    if not alive:
        return hessian_free(train, test)
    rows = np.concatenate([train[name] for name in alive], 1)
    points = np.concatenate([test[name] for name in alive], 1)
    moment = np.mean(rows**2, 0) / batch_rows + (1 - 1 / batch_rows) * np.mean(rows, 0) ** 2
    eps = 0.1 * np.median(np.sqrt(moment[moment > 0]))
    half = np.diag((1 / (np.sqrt(moment) + eps)) ** 0.5)
    inverse = np.linalg.inv(np.eye(len(half)) + half @ rows.T @ rows @ half / (len(rows) * scale))
    scores: Floats = -points @ half @ inverse @ half @ rows.T
    return scores


def hessian_free(train: Gradients, test: Gradients, scale: float | None = None) -> Floats:
    return total(train, test, lambda rows, points, name: -points @ rows.T)


def cosine(train: Gradients, test: Gradients, scale: float | None = None) -> Floats:
    def lengths(arrays: Gradients) -> Floats:
        found: Floats = np.linalg.norm(np.concatenate(list(arrays.values()), 1), axis=1)
        return found

    return hessian_free(train, test) / np.outer(lengths(test), lengths(train))


def relative(train: Gradients, test: Gradients, scale: float) -> Floats:
    return datainf(train, test, scale) / np.sqrt(-np.diag(datainf(train, train, scale)))


def ekfac(train: Gradients, test: Gradients, scale: float) -> Floats:
    lambdas = dampings(train, scale)

    def contribution(rows: Floats, points: Floats, name: str) -> Floats:
        basis = np.kron(*(np.linalg.eigh(factor)[1] for factor in factors_of(rows)))
        eigenvalues = np.mean((rows @ basis) ** 2, axis=0)
        inverse: Floats = basis @ np.diag(1 / (eigenvalues + lambdas[name])) @ basis.T
        return -points @ inverse @ rows.T

    return total(train, test, contribution)


def lissa(train: Gradients, test: Gradients, scale: float, iterations: int = 200) -> Floats:
    lambdas = dampings(train, scale)

    def contribution(rows: Floats, points: Floats, name: str) -> Floats:
        matrix = curvature(rows, lambdas[name])
        step = 1 / (1.1 * np.linalg.eigvalsh(matrix)[-1])
        shrunk = np.eye(len(matrix)) - step * matrix
        series: Floats = sum(step * np.linalg.matrix_power(shrunk, power) for power in range(iterations + 1))
        return -points @ series @ rows.T

    return total(train, test, contribution)


def lissa_paper(train: Gradients, test: Gradients, scale: float, iterations: int = 10) -> Floats:
    lambdas = dampings(train, scale)

    def contribution(rows: Floats, points: Floats, name: str) -> Floats:
        grown = np.eye(rows.shape[1]) - curvature(rows, -lambdas[name])
        series = np.sum([np.linalg.matrix_power(grown, power) for power in range(iterations + 1)], axis=0)
        scores: Floats = -points @ series @ rows.T
        return scores

    return total(train, test, contribution)


ORACLES = {
    "datainf": datainf,
    "exact": exact,
    "proximal": proximal,
    "joint": joint,
    "preconditioned": preconditioned,
    "hessian_free": hessian_free,
    "cosine": cosine,
    "tracin": hessian_free,
    "relative": relative,
    "ekfac": ekfac,
    "lissa": lissa,
    "lissa-paper": lissa_paper,
}

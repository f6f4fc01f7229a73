"""The systems of the Gauss-Newton solves, factored: of order n through rows, of order width through coordinates."""

from collections.abc import Mapping

from influence.arrays import Array, add_to_diagonal, concatenate, spans, transfer, zeros
from influence.methods.algebra.blocks import JOINED_BYTES, TrainBlock
from influence.methods.algebra.linear_algebra import add_gram, cholesky


def joined_second_moment(blocks: Mapping[str, TrainBlock]) -> Array:
    """`sum_i x_i x_i'` of all blocks joined in their order: (sum width, sum width), float64."""
    names = list(blocks)
    first = blocks[names[0]]
    width = sum(block.width for block in blocks.values())
    total = zeros((width, width), first.shards[0], "float64")
    for start, stop in spans(first.rows, max(1, JOINED_BYTES // (8 * width))):
        rows = concatenate([block.between(start, stop, "float64") for block in blocks.values()], 1)
        total += rows.T @ rows
    return total


def factor_rows(blocks: Mapping[str, TrainBlock], scales: Mapping[str, float]) -> Array:
    """Cholesky factor of `sum_l scale_l X_l X_l' / n + I`, order n, over the blocks that `scales` names."""
    rows = blocks[next(iter(scales))].rows
    system = zeros((rows, rows), blocks[next(iter(scales))].shards[0], "float64")
    for name, scale in scales.items():
        add_gram(system, blocks[name], scale / rows)
    return cholesky(add_to_diagonal(system, 1.0))


def factor_coordinates(blocks: Mapping[str, TrainBlock], scales: Mapping[str, float]) -> Array:
    """Cholesky factor of `D X'X D / n + I`, D the roots of the scales, order the joined width of the blocks named."""
    members = {name: blocks[name] for name in scales}
    system = joined_second_moment(members)
    roots = transfer(_spread(members, scales), system, "float64") ** 0.5
    rows = next(iter(members.values())).rows
    return cholesky(add_to_diagonal(system * roots * roots[:, None] / rows, 1.0))


def _spread(members: Mapping[str, TrainBlock], scales: Mapping[str, float]) -> list[float]:
    return [scales[name] for name, block in members.items() for _ in range(block.width)]

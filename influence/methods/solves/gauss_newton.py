"""Gauss-Newton solves over groups of blocks: what `exact`, `proximal` and `joint` have in common.

For a group of blocks with rows x_i, each block divided by sqrt(lambda_l), and test gradients t likewise:

    influence(t, k) = - <t, (1/n sum_i x_i x_i' + I)^-1 x_k>

The same number comes out of a system of order n, `(X X'/n + I) a = X t`, `influence = -a`, of one of order width,
`(X'X/n + I) r = t`, `influence = -X r`, or of conjugate gradients on the latter. The smaller one that fits is used.
All of it in float64: what float32 rounds off is magnified by the largest eigenvalue, up to 3e4 times here.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from influence.arrays import Array, add, cast, concatenate, zeros
from influence.damping import block_dampings, inverse_damping
from influence.errors import MethodNotOffered
from influence.methods.algebra.blocks import (
    TrainBlock,
    Vectors,
    check_blocks,
    combine,
    joint_covariance_product,
    project,
)
from influence.methods.algebra.linear_algebra import Matrices, conjugate_gradients, solve_cholesky
from influence.methods.algebra.systems import factor_coordinates, factor_rows
from influence.methods.base import LinearMethod, Scores, score_rows

#: Largest order of a system that is factored.
ORDER_LIMIT = 8192

#: Bytes of factors that one prepared state holds at most; groups beyond are solved by iteration.
FACTOR_BYTES_LIMIT = 2 << 30

#: Iterated solves end at this residual, relative to the right side, and give up after so many passes.
RESIDUAL_TOLERANCE = 1e-8
ITERATION_LIMIT = 1000

Form = Literal["rows", "coordinates", "iterative"]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Blocks solved together. `inverse` holds 1/lambda a block, none of them 0; `factor` is the Cholesky factor
    of a system of order n (`rows`) or of the joined width (`coordinates`), None where iterated."""

    names: tuple[str, ...]
    inverse: Mapping[str, float]
    form: Form
    factor: Array | None

    def solve(self, right: Array) -> Array:
        """The system's solution (order, m) for right sides (order, m). Raises ValueError for an iterated group."""
        if self.factor is None:
            raise ValueError(f"blocks {', '.join(self.names)} are iterated")
        return solve_cholesky(self.factor, right)


@dataclass(frozen=True, slots=True, eq=False)
class GaussNewtonState:
    """All blocks and the groups; a block without gradients is in no group."""

    blocks: Mapping[str, TrainBlock]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class GaussNewton(LinearMethod[GaussNewtonState]):
    """A family of methods told apart by which blocks are solved together."""

    order_limit: int = ORDER_LIMIT
    factor_bytes_limit: int = FACTOR_BYTES_LIMIT

    @abstractmethod
    def grouped(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        """Which blocks are solved together."""

    def dampings(self, blocks: Mapping[str, TrainBlock], damping_scale: float) -> dict[str, float]:
        """lambda_l of every block. Raises InvalidRequest."""
        return block_dampings(blocks, damping_scale)

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> GaussNewtonState:
        """Factor the systems."""
        check_blocks(blocks)
        dampings = self.dampings(blocks, self.damping_scale(damping_scale))
        inverse = {name: inverse_damping(damping) for name, damping in dampings.items()}
        alive = [name for name in blocks if inverse[name] > 0]
        groups, left = [], self.factor_bytes_limit
        for names in self.grouped(alive):
            form, order = self._choose(blocks, names, left)
            scales = {name: inverse[name] for name in names}
            factor = None
            if form == "rows":
                factor = factor_rows(blocks, scales)
            elif form == "coordinates":
                factor = factor_coordinates(blocks, scales)
            left -= 8 * order**2
            groups.append(Group(names, scales, form, factor))
        return GaussNewtonState(blocks, tuple(groups))

    def directions(self, state: GaussNewtonState, test: Vectors) -> dict[str, Array]:
        turned = {name: cast(test[name], "float64") * 0.0 for name in state.blocks}
        for group in state.groups:
            weight = self.group_weight(group)
            found = _group_directions(state.blocks, group, test)
            turned.update({name: part * weight for name, part in found.items()})
        return turned

    def group_weight(self, group: Group) -> float:
        """What a group's influence is multiplied by."""
        return 1.0

    def apply(
        self, state: GaussNewtonState, test: Vectors, *, rows: Array | None = None, per_block: bool = False
    ) -> Scores:
        if per_block or rows is not None:
            return score_rows(state.blocks, self.directions(state, test), rows=rows, per_block=per_block)
        first = next(iter(state.blocks))
        total = zeros((int(test[first].shape[0]), state.blocks[first].rows), test[first])
        for group in state.groups:
            total = total + _group_influence(state.blocks, group, test) * self.group_weight(group)
        return Scores(total)

    def _choose(self, blocks: Mapping[str, TrainBlock], names: Sequence[str], left: int) -> tuple[Form, int]:
        rows = blocks[names[0]].rows
        width = sum(blocks[name].width for name in names)
        order = min(rows, width)
        if order > self.order_limit or 8 * order**2 > left:
            return "iterative", 0
        return ("coordinates" if order == width else "rows"), order


def _group_influence(blocks: Mapping[str, TrainBlock], group: Group, test: Vectors) -> Array:
    if group.form == "rows":
        result: Array = -cast(_row_weights(blocks, group, test), blocks[group.names[0]].dtype)
        return result
    members = {name: blocks[name] for name in group.names}
    turned = _group_directions(blocks, group, test)
    return score_rows(members, turned, rows=None, per_block=False).influence


def _row_weights(blocks: Mapping[str, TrainBlock], group: Group, test: Vectors) -> Array:
    """`a` (m, n) with `(sum_l X_l X_l' / (n lambda_l) + I) a = sum_l X_l t_l / lambda_l`."""
    right = add(scale * project(blocks[name], test[name], dtype="float64") for name, scale in group.inverse.items())
    result: Array = group.solve(right.T).T
    return result


def _group_directions(blocks: Mapping[str, TrainBlock], group: Group, test: Vectors) -> dict[str, Array]:
    vectors = {name: cast(test[name], "float64") for name in group.names}
    if group.form == "rows":
        weights = _row_weights(blocks, group, test)
        return {name: (vectors[name] - combine(blocks[name], weights)) * scale for name, scale in group.inverse.items()}
    scaled = [vectors[name] * scale**0.5 for name, scale in group.inverse.items()]
    if group.form == "coordinates":
        joined = group.solve(concatenate(scaled, 1).T).T
        solved = _split(joined, [int(part.shape[1]) for part in scaled])
    else:
        solved = _iterate(blocks, group, scaled)
    pairs = zip(group.inverse.items(), solved, strict=True)
    return {name: part * scale**0.5 for (name, scale), part in pairs}


def _split(joined: Array, widths: list[int]) -> Matrices:
    stops = list(accumulate(widths))
    return [joined[:, stop - width : stop] for width, stop in zip(widths, stops, strict=True)]


def _iterate(blocks: Mapping[str, TrainBlock], group: Group, right: Matrices) -> Matrices:
    members = [blocks[name] for name in group.names]
    roots = [scale**0.5 for scale in group.inverse.values()]

    def multiply(step: Matrices) -> Matrices:
        scaled = [part * root for part, root in zip(step, roots, strict=True)]
        turned = joint_covariance_product(members, scaled)
        return [part + root * other for part, root, other in zip(step, roots, turned, strict=True)]

    answer, worst = conjugate_gradients(multiply, right, tolerance=RESIDUAL_TOLERANCE, iterations=ITERATION_LIMIT)
    if worst > RESIDUAL_TOLERANCE:
        raise MethodNotOffered(
            f"The solve did not converge in {ITERATION_LIMIT} passes over the rows (residual {worst:.1e}).",
            hint="Use a larger damping_scale, or method 'datainf'.",
            extra={"residual": worst, "passes": ITERATION_LIMIT},
        )
    return answer

"""EK-FAC: the block-diagonal Gauss-Newton matrix in the eigenbasis of its Kronecker factors, eigenvalues corrected.

For a block with weight (p, q) and rows' gradients G_i (p, q), with Q_L and Q_R the eigenvectors of its two factors:

    Lambda = 1/n sum_i (Q_L' G_i Q_R)^2,   influence(v, k) = - <Q_L' V Q_R / (Lambda + lambda), Q_L' G_k Q_R>

squares and quotients taken entry by entry. The factors are sums over positions of outer products of what the gradients
are made of (inputs x, output gradients delta), collected while an index is built. A block without factors (a bias, a
module that is no linear layer) keeps the basis it has: the diagonal of its own matrix.
Source: George et al. 2018, Fast approximate natural gradient descent in a Kronecker-factored eigenbasis; Grosse et al.
2023, Studying large language model generalization with influence functions, section 2.2. `lambda` at scale 0.1 is a
tenth of the mean eigenvalue, as there. Grosse et al. draw labels from the model; here the rows' own are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from influence.arrays import Array, cast, namespace, transfer, zeros
from influence.damping import block_dampings
from influence.errors import MethodNotOffered
from influence.methods.algebra.blocks import TrainBlock, Vectors, check_blocks
from influence.methods.base import LinearMethod

#: Eigenvectors (p, p) and (q, q) of a block's factors, in columns.
Eigenbasis = tuple[Array, Array]


@dataclass(frozen=True, slots=True, eq=False)
class EkfacState:
    """Per block: the eigenbasis (none where the block has no factors) and 1/(Lambda + lambda) (d,) in that basis, 0 for
    a block without gradients."""

    blocks: Mapping[str, TrainBlock]
    bases: Mapping[str, Eigenbasis]
    inverses: Mapping[str, Array]


class Ekfac(LinearMethod[EkfacState]):
    """One pass per query; preparing decomposes the factors and passes over the rows once."""

    name: ClassVar[str] = "ekfac"
    title: ClassVar[str] = "EK-FAC (eigenvalue-corrected Kronecker factors)"
    summary: ClassVar[str] = "Gauss-Newton in the Kronecker factors' eigenbasis: no n x n system, any number of rows."
    cost: ClassVar[str] = "one pass; the first query decomposes the factors and passes over the rows once"
    default_damping_scale: ClassVar[float | None] = 0.1
    stand_in: ClassVar[str | None] = "exact"
    needs_factors: ClassVar[bool] = True

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> EkfacState:
        check_blocks(blocks)
        dampings = block_dampings(blocks, self.damping_scale(damping_scale))
        if all(block.factors is None for block in blocks.values()):
            raise MethodNotOffered(
                "No block of this index has the Kronecker factors that 'ekfac' needs.",
                hint="Build the index with kronecker true; weights of linear layers then have factors.",
            )
        bases = {name: _decompose(block) for name, block in blocks.items() if block.factors is not None}
        inverses = {name: _invert(block, bases.get(name), dampings[name]) for name, block in blocks.items()}
        # The factors have served; the largest of a model take more memory than many rows.
        bare = {name: replace(block, factors=None) for name, block in blocks.items()}
        return EkfacState(bare, bases, inverses)

    def directions(self, state: EkfacState, test: Vectors) -> dict[str, Array]:
        return {name: _direction(state, name, cast(test[name], block.dtype)) for name, block in state.blocks.items()}


def _decompose(block: TrainBlock) -> Eigenbasis:
    """Eigenvectors of both factors, found in float64, in the block's type on its device."""
    assert block.factors is not None
    left, right = (transfer(factor, block.shards[0], "float64") for factor in block.factors)
    if int(left.shape[0]) * int(right.shape[0]) != block.width:
        raise ValueError(f"factors of {left.shape[0]} x {right.shape[0]} do not fit {block.width} numbers per row")
    eigh = namespace(left).linalg.eigh
    return cast(eigh(left)[1], block.dtype), cast(eigh(right)[1], block.dtype)


def _invert(block: TrainBlock, basis: Eigenbasis | None, damping: float) -> Array:
    """1/(Lambda + lambda) (width,) in the block's type, from one pass over its rows."""
    total = zeros((block.width,), block.shards[0], "float64")
    if damping == 0:
        return cast(total, block.dtype)
    for _, _, rows in block.chunks():
        turned = rows if basis is None else _turn(rows, basis)
        total += cast(turned * turned, "float64").sum(0)
    return cast(1.0 / (total / block.rows + damping), block.dtype)


def _direction(state: EkfacState, name: str, test: Array) -> Array:
    basis = state.bases.get(name)
    if basis is None:
        result: Array = test * state.inverses[name]
        return result
    left, right = basis
    return _turn(_turn(test, basis) * state.inverses[name], (left.T, right.T))


def _turn(rows: Array, basis: Eigenbasis) -> Array:
    """`Q_L' G Q_R` of rows (m, p * q), flat again."""
    left, right = basis
    shaped = rows.reshape(int(rows.shape[0]), int(left.shape[0]), int(right.shape[0]))
    result: Array = (left.T @ (shaped @ right)).reshape(int(rows.shape[0]), -1)
    return result

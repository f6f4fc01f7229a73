"""What all methods share: the verbs they have and the answer they give.

A method is two verbs. `prepare` does once what depends on the index and the damping alone, `apply` scores test
gradients. Both run on numpy arrays and torch tensors. A method that can also answer from codes says how by `on_codes`;
on which storages it is offered follows from that.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from influence.arrays import Array, add
from influence.contracts.index import Metric, Storage
from influence.errors import MethodNotOffered
from influence.methods.algebra.blocks import ALL_ROWS, TrainBlock, Vectors, project, score_on_self
from influence.methods.codes.form import CodeForm


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Influence (m, rows) of training rows on m test points, negative = helpful; `blocks` splits it by block."""

    influence: Array
    blocks: Mapping[str, Array] | None = None

    def rescale(self, test_factors: Array | None, row_factors: Array) -> "Scores":
        """Multiply scores, and their parts by block, by factors of test points (m,) and training rows (n,)."""
        factors = row_factors[None, :] if test_factors is None else test_factors[:, None] * row_factors[None, :]
        parts = None if self.blocks is None else {name: part * factors for name, part in self.blocks.items()}
        return Scores(self.influence * factors, parts)


class State(Protocol):
    """What `prepare` returns holds at least the blocks it was prepared from."""

    @property
    def blocks(self) -> Mapping[str, TrainBlock]: ...


StateT = TypeVar("StateT", bound=State)


class Method(ABC, Generic[StateT]):
    """One way to score training rows. Instances are frozen; all that lasts is in the state.

    `default_damping_scale` is None where damping means nothing to the method. `stand_in` names the method to ask where
    this one is not offered. One that `needs_factors` is prepared from blocks with their Kronecker factors; one that
    `needs_checkpoints` means something only as a sum; one that `is_iterative` passes over all rows tens of times for
    every score, self-influence of each row included. `on_codes` is None where codes cannot hold what the method needs;
    `metric` is that of the codes which can.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    cost: ClassVar[str]
    default_damping_scale: ClassVar[float | None]
    on_codes: ClassVar[CodeForm | None] = None
    metric: ClassVar[Metric] = "gradient"
    has_self_influence: ClassVar[bool] = False
    is_baseline: ClassVar[bool] = False
    is_iterative: ClassVar[bool] = False
    needs_factors: ClassVar[bool] = False
    needs_checkpoints: ClassVar[bool] = False
    stand_in: ClassVar[str | None] = None

    @property
    def storages(self) -> frozenset[Storage]:
        """Kinds of index that can answer."""
        return frozenset({"full"} if self.on_codes is None else {"full", "compact"})

    @abstractmethod
    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> StateT:
        """Do once what all queries at this damping share. None takes the method's default damping."""

    @abstractmethod
    def apply(self, state: StateT, test: Vectors, *, rows: Array | None = None, per_block: bool = False) -> Scores:
        """Score test gradients: a block name to (m, width) array.

        `rows` (numpy indexes) restricts the answer to some training rows, `per_block` asks for its split by block.
        """

    def self_influence(self, state: StateT, rows: slice = ALL_ROWS) -> Array:
        """Score (n,) of every training row on itself, never negative; high = outlier or wrong label.

        `rows` restricts the answer to consecutive rows, so that it can be had piece by piece. Raises MethodNotOffered
        for a method without.
        """
        self.check_self_influence()
        raise NotImplementedError(f"method '{self.name}' claims a self-influence that it does not define")

    def check_self_influence(self) -> None:
        """Raise MethodNotOffered for a method without self-influence, on whatever storage."""
        if not self.has_self_influence:
            raise MethodNotOffered(
                f"Method '{self.name}' has no self-influence.",
                hint="Ask for the self-influence of 'datainf' or 'exact'.",
            )

    def damping_scale(self, requested: float | None) -> float:
        """The scale to use: the one asked for, else the method's default."""
        scale = self.default_damping_scale if requested is None else requested
        return 1.0 if scale is None else scale


class LinearMethod(Method[StateT]):
    """A method whose influence is linear in the test gradient: `influence = - sum_l R_l X_l'`."""

    has_self_influence: ClassVar[bool] = True

    @abstractmethod
    def directions(self, state: StateT, test: Vectors) -> dict[str, Array]:
        """R (m, width) per block. A new row's influence is minus its inner product with R, summed over blocks."""

    def apply(self, state: StateT, test: Vectors, *, rows: Array | None = None, per_block: bool = False) -> Scores:
        return score_rows(state.blocks, self.directions(state, test), rows=rows, per_block=per_block)

    def self_influence(self, state: StateT, rows: slice = ALL_ROWS) -> Array:
        self.check_self_influence()
        return score_on_self(state.blocks, lambda chunk: self.directions(state, chunk), rows)


def require_linear(method: Method[Any]) -> LinearMethod[Any]:
    """The method, where a score is an inner product with the row's gradient. Raises MethodNotOffered."""
    if not isinstance(method, LinearMethod):
        raise MethodNotOffered(
            f"A score by method '{method.name}' is divided by the row's size, so it is no sum over the row's tokens.",
            hint="Use 'datainf', or leave 'tokens' out of 'include'.",
        )
    return method


def score_rows(blocks: Mapping[str, TrainBlock], directions: Vectors, *, rows: Array | None, per_block: bool) -> Scores:
    """One pass over the rows: `- sum_l R_l X_l'`."""
    parts: dict[str, Array] = {}

    def score(name: str) -> Array:
        part: Array = -project(blocks[name], directions[name], rows)
        if per_block:
            parts[name] = part
        return part

    return Scores(add(score(name) for name in blocks), parts if per_block else None)

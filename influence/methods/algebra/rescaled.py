"""A block read in the optimiser's metric: each number of its rows times the root of the preconditioner."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from influence.arrays import Array, cast, dtype_name, row_dots, transfer, zeros
from influence.compact.preconditioning import find_roots, take_moments
from influence.methods.algebra.blocks import TrainBlock, check_blocks


@dataclass(frozen=True, slots=True, eq=False)
class RescaledBlock(TrainBlock):
    """A block with `roots`, whose passes give `roots * row`; `squared_norms` are those of the rows so read."""

    roots: Array = field(kw_only=True)

    def chunks(self, dtype: str | None = None) -> Iterator[tuple[int, int, Array]]:
        for start, stop, rows in TrainBlock.chunks(self, dtype):
            yield start, stop, rows * cast(self.roots, dtype_name(rows))

    def between(self, start: int, stop: int, dtype: str | None = None) -> Array:
        rows = TrainBlock.between(self, start, stop, dtype)
        result: Array = rows * cast(self.roots, dtype_name(rows))
        return result

    def take(self, rows: Array) -> Array:
        taken = TrainBlock.take(self, rows)
        result: Array = taken * cast(self.roots, dtype_name(taken))
        return result


def rescale_blocks(blocks: Mapping[str, TrainBlock]) -> dict[str, TrainBlock]:
    """Blocks in the optimiser's metric: by the roots that they have, else by those of their own rows, batches of one.

    Raises InvalidRequest for an index without rows.
    """
    check_blocks(blocks)
    if any(block.roots is None for block in blocks.values()):
        blocks = with_roots(blocks)
    return {name: _rescale(block) for name, block in blocks.items()}


def with_roots(blocks: Mapping[str, TrainBlock], batch_rows: int = 1) -> dict[str, TrainBlock]:
    """Blocks with the roots that follow from their own rows, in one pass over them, for a training of `batch_rows`
    rows per step."""
    moments = [take_moments(rows for _, _, rows in block.chunks("float64")) for block in blocks.values()]
    found = {}
    for (name, block), roots in zip(blocks.items(), find_roots(moments, batch_rows), strict=True):
        on_device = transfer(roots, block.shards[0], block.dtype)
        found[name] = TrainBlock(block.gradients, block.squared_norms, block.factors, on_device)
    return found


def _rescale(block: TrainBlock) -> RescaledBlock:
    if block.roots is None:
        raise ValueError("the block has no roots")
    bare = RescaledBlock(block.gradients, block.squared_norms, roots=block.roots)
    norms = zeros((block.rows,), block.shards[0])
    for start, stop, rows in bare.chunks():
        norms[start:stop] = row_dots(rows, rows)
    return RescaledBlock(block.gradients, norms, roots=block.roots)

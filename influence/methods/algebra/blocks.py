"""The training rows a method reads, block by block, and the passes over them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from influence.arrays import (
    Array,
    add,
    cast,
    chunk_rows,
    compute_dtype,
    concatenate,
    dtype_name,
    row_dots,
    spans,
    zeros,
)
from influence.errors import InvalidRequest

#: A block name to a (m, width) array: test gradients, or what they become on the way to scores.
Vectors = Mapping[str, Array]

#: Widest block whose moment (width x width) is kept: its rows then need not be passed over to turn a vector.
MOMENT_WIDTH_LIMIT = 512

#: Bytes of float64 rows, all blocks of a group together, that are converted at a time.
JOINED_BYTES = 64 << 20

#: Bytes of rows, all blocks together, that score themselves at a time.
SELF_CHUNK_BYTES = 256 << 20

ALL_ROWS = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class TrainBlock:
    """One block's training gradients.

    `gradients` is (n, width) in any stored type, or a tuple of such arrays, one per shard; `squared_norms` (n,) are
    theirs. `factors`, where they were collected, are the Kronecker factors (p, p) and (q, q) of a weight (p, q), up to
    a constant; `roots` (width,), where they were made, lead to the optimiser's metric. `gram` (n, n) float64, of which
    the lower half is read, is `X X'` where several systems are made of it.
    """

    gradients: Array | tuple[Array, ...]
    squared_norms: Array
    factors: tuple[Array, Array] | None = None
    roots: Array | None = None
    gram: Array | None = None

    @classmethod
    def of(cls, gradients: Array | tuple[Array, ...]) -> "TrainBlock":
        """A block of gradients, squared norms taken here."""
        first = gradients[0] if isinstance(gradients, tuple) else gradients
        bare = cls(gradients, zeros((0,), first))
        norms = [row_dots(rows, rows) for _, _, rows in bare.chunks()]
        return cls(gradients, concatenate([bare.squared_norms, *norms], 0))

    @property
    def shards(self) -> tuple[Array, ...]:
        return self.gradients if isinstance(self.gradients, tuple) else (self.gradients,)

    @property
    def rows(self) -> int:
        return sum(int(shard.shape[0]) for shard in self.shards)

    @property
    def width(self) -> int:
        return int(self.shards[0].shape[1])

    @property
    def dtype(self) -> str:
        """Type that this block is computed in: float64 where stored so, else float32."""
        return compute_dtype(self.shards[0])

    def chunks(self, dtype: str | None = None) -> Iterator[tuple[int, int, Array]]:
        """Walk the rows once: (start, stop, rows in `dtype`), each converted copy of bounded size."""
        offset = 0
        for shard in self.shards:
            for start, stop in spans(int(shard.shape[0]), chunk_rows(shard)):
                yield offset + start, offset + stop, cast(shard[start:stop], dtype or self.dtype)
            offset += int(shard.shape[0])

    def between(self, start: int, stop: int, dtype: str | None = None) -> Array:
        """Consecutive rows (stop - start, width) in `dtype`."""
        parts, offset = [], 0
        for shard in self.shards:
            inside = slice(max(0, start - offset), max(0, stop - offset))
            parts.append(cast(shard[inside], dtype or self.dtype))
            offset += int(shard.shape[0])
        return concatenate([part for part in parts if len(part)] or parts[:1], 0)

    def take(self, rows: Array) -> Array:
        """Selected rows (r, width) in the compute type; `rows` are numpy indexes in any order."""
        taken = zeros((len(rows), self.width), self.shards[0])
        offset = 0
        for shard in self.shards:
            inside = ((rows >= offset) & (rows < offset + int(shard.shape[0]))).nonzero()[0]
            if len(inside):
                taken[inside] = cast(shard[rows[inside] - offset], self.dtype)
            offset += int(shard.shape[0])
        return taken


def check_blocks(blocks: Mapping[str, TrainBlock]) -> int:
    """Number of rows n that all blocks agree on; refuses an index without rows."""
    counts = {block.rows for block in blocks.values()}
    if counts == {0} or not counts:
        raise InvalidRequest("The index holds no rows.", hint="Build the index from a data set with rows.")
    if len(counts) > 1:
        raise ValueError(f"blocks hold different numbers of rows: {sorted(counts)}")
    return counts.pop()


def project(block: TrainBlock, vectors: Array, rows: Array | None = None, dtype: str | None = None) -> Array:
    """Inner products (m, n) of vectors (m, width) with the block's rows, or with selected ones, in `dtype`."""
    left = cast(vectors, dtype or block.dtype)
    if rows is not None:
        result: Array = left @ cast(block.take(rows), dtype or block.dtype).T
        return result
    return concatenate([left @ chunk.T for _, _, chunk in block.chunks(dtype)], 1)


def combine(block: TrainBlock, weights: Array) -> Array:
    """`1/n sum_i a_i x_i` for each of m sets of weights (m, n): (m, width), in the type of the weights."""
    dtype = dtype_name(weights)
    total = zeros((int(weights.shape[0]), block.width), weights, dtype)
    for start, stop, chunk in block.chunks(dtype):
        total += weights[:, start:stop] @ chunk
    result: Array = total / block.rows
    return result


def covariance_product(block: TrainBlock, vectors: Array, weights: Array | None = None) -> Array:
    """`1/n sum_i w_i <v, x_i> x_i` for each of m vectors: (m, width), in one pass over the rows.

    Inner products and their use share a chunk while it is in the processor's cache.
    """
    left = cast(vectors, block.dtype)
    total = zeros((int(left.shape[0]), block.width), block.shards[0])
    for start, stop, chunk in block.chunks():
        inner = left @ chunk.T
        total += (inner if weights is None else inner * weights[start:stop]) @ chunk
    result: Array = total / block.rows
    return result


def joint_covariance_product(blocks: Sequence[TrainBlock], vectors: Sequence[Array]) -> list[Array]:
    """`1/n sum_i (sum_l <v_l, x_il>) x_i` per block for each of m vectors: [(m, width)], float64, in one pass."""
    totals = [part * 0.0 for part in vectors]
    row_bytes = 8 * sum(block.width for block in blocks)
    for start, stop in spans(blocks[0].rows, max(1, JOINED_BYTES // row_bytes)):
        chunks = [block.between(start, stop, "float64") for block in blocks]
        inner = add(part @ chunk.T for part, chunk in zip(vectors, chunks, strict=True))
        for total, chunk in zip(totals, chunks, strict=True):
            total += inner @ chunk
    return [total / blocks[0].rows for total in totals]


def moment(block: TrainBlock, weights: Array | None = None) -> Array:
    """`1/n sum_i w_i x_i x_i'`: (width, width), in one pass over the rows."""
    total = zeros((block.width, block.width), block.shards[0])
    for start, stop, chunk in block.chunks():
        total += (chunk if weights is None else chunk * weights[start:stop, None]).T @ chunk
    result: Array = total / block.rows
    return result


def score_on_self(
    blocks: Mapping[str, TrainBlock], directions: Callable[[Vectors], Vectors], rows: slice = ALL_ROWS
) -> Array:
    """Score (n,) of each row, or of consecutive `rows`, on itself: `sum_l <r_l(x), x_l>`."""
    first, last, _ = rows.indices(check_blocks(blocks))
    row_bytes = 8 * sum(block.width for block in blocks.values())
    parts = []
    for offset, end in spans(last - first, max(1, SELF_CHUNK_BYTES // row_bytes)):
        start, stop = first + offset, first + end
        taken = {name: block.between(start, stop) for name, block in blocks.items()}
        turned = directions(taken)
        parts.append(add(row_dots(cast(turned[name], dtype_name(taken[name])), taken[name]) for name in blocks))
    return concatenate(parts, 0)

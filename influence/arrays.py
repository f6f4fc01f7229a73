"""Array code that runs unchanged on numpy arrays and torch tensors, without importing torch."""

import sys
from collections.abc import Iterator
from typing import Any

#: A `numpy.ndarray` or a `torch.Tensor`.
Array = Any

#: Bytes of converted rows held at once, by kind of device: a CPU's cache, a GPU's launch overhead.
CHUNK_BYTES = {"cpu": 8 << 20, "cuda": 256 << 20}
_OTHER_DEVICE_BYTES = 64 << 20


def namespace(array: Array) -> Any:
    """The module that made an array: `numpy` or `torch`. It is loaded, or the array could not exist."""
    return sys.modules[type(array).__module__.partition(".")[0]]


def dtype_name(array: Array) -> str:
    """Name of the element type, the same word for numpy and torch, such as `float32`."""
    return str(array.dtype).rpartition(".")[2]


def compute_dtype(array: Array) -> str:
    """Type to compute in: float64 stays float64, everything narrower is accumulated in float32."""
    return "float64" if dtype_name(array) == "float64" else "float32"


def cast(array: Array, dtype: str) -> Array:
    """The array in another element type; itself where it has that type already."""
    if dtype_name(array) == dtype:
        return array
    module = namespace(array)
    target = getattr(module, dtype)
    return array.to(target) if module.__name__ == "torch" else array.astype(target)


def zeros(shape: tuple[int, ...], like: Array, dtype: str | None = None) -> Array:
    """Zeros on the device of `like`, by default in its compute type."""
    module = namespace(like)
    return module.zeros(shape, dtype=getattr(module, dtype or compute_dtype(like)), device=like.device)


def transfer(values: Any, like: Array, dtype: str) -> Array:
    """Make an array of the kind and on the device of `like` from numbers or a numpy array."""
    module = namespace(like)
    return module.asarray(values, dtype=getattr(module, dtype), device=like.device)


def add_to_diagonal(matrix: Array, value: float) -> Array:
    """Add a number to a square matrix's diagonal, in place; returns the matrix."""
    places = namespace(matrix).arange(int(matrix.shape[0]), device=matrix.device)
    matrix[places, places] += value
    return matrix


def concatenate(parts: list[Array], axis: int) -> Array:
    """Join arrays; one part alone is returned as it is."""
    return parts[0] if len(parts) == 1 else namespace(parts[0]).concatenate(parts, axis)


def row_dots(left: Array, right: Array) -> Array:
    """Inner product of each row of (m, d) with the same row of another (m, d): (m,)."""
    return namespace(left).einsum("md,md->m", left, right)


def inverse_roots(squares: Array) -> Array:
    """1/sqrt of squared sizes (n,); 0 where a size is 0, so that a row without gradient scores 0, not NaN."""
    empty = squares <= 0
    return ~empty / (squares + empty) ** 0.5


def chunk_rows(array: Array) -> int:
    """Rows to convert at a time so that the converted copy stays within `CHUNK_BYTES`."""
    item_bytes = 8 if compute_dtype(array) == "float64" else 4
    budget = CHUNK_BYTES.get(str(array.device).partition(":")[0], _OTHER_DEVICE_BYTES)
    return max(1, budget // (item_bytes * max(1, int(array.shape[1]))))


def spans(length: int, step: int) -> Iterator[tuple[int, int]]:
    """Consecutive (start, stop) pairs that cover `range(length)`."""
    for start in range(0, length, step):
        yield start, min(start + step, length)

"""Array code that runs unchanged on numpy arrays and torch tensors, without importing torch."""

import io
import operator
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Array(Protocol):
    """A `numpy.ndarray` or a `torch.Tensor`: what the mathematics here asks of either."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def dtype(self) -> Any: ...
    @property
    def device(self) -> Any: ...
    @property
    def T(self) -> Any: ...

    @property
    def nbytes(self) -> int: ...

    @property
    def __abs__(self) -> Any: ...
    def __array__(self, dtype: Any = None, /) -> Any: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __rtruediv__(self, other: Any, /) -> Any: ...
    def __matmul__(self, other: Any, /) -> Any: ...
    def __pow__(self, other: Any, /) -> Any: ...
    def __neg__(self) -> Any: ...
    def __le__(self, other: Any, /) -> Any: ...
    def __lt__(self, other: Any, /) -> Any: ...
    def __gt__(self, other: Any, /) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...
    @property
    def reshape(self) -> Any: ...
    @property
    def sum(self) -> Any: ...
    @property
    def mean(self) -> Any: ...
    @property
    def max(self) -> Any: ...
    @property
    def argmax(self) -> Any: ...


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
    module, values = namespace(array), _untyped(array)
    target = getattr(module, dtype)
    result: Array = values.to(target) if module.__name__ == "torch" else values.astype(target)
    return result


def on_host(array: Array) -> NDArray[Any]:
    """The array as numpy's, in its own type; a tensor is copied from its device where that is another."""
    values = _untyped(array)
    return np.asarray(values.cpu() if namespace(array).__name__ == "torch" else values)


def _untyped(array: Array) -> Any:
    return array


def zeros(shape: tuple[int, ...], like: Array, dtype: str | None = None) -> Array:
    """Zeros on the device of `like`, by default in its compute type."""
    module = namespace(like)
    result: Array = module.zeros(shape, dtype=getattr(module, dtype or compute_dtype(like)), device=like.device)
    return result


def transfer(values: Any, like: Array, dtype: str) -> Array:
    """Make an array of the kind and on the device of `like` from numbers or a numpy array."""
    module = namespace(like)
    result: Array = module.asarray(values, dtype=getattr(module, dtype), device=like.device)
    return result


def add_to_diagonal(matrix: Array, value: float) -> Array:
    """Add a number to a square matrix's diagonal, in place; returns the matrix."""
    places = namespace(matrix).arange(int(matrix.shape[0]), device=matrix.device)
    matrix[places, places] += value
    return matrix


def concatenate(parts: list[Array], axis: int) -> Array:
    """Join arrays; one part alone is returned as it is."""
    return parts[0] if len(parts) == 1 else namespace(parts[0]).concatenate(parts, axis)


def add(parts: Iterable[Array]) -> Array:
    """Sum of arrays of one shape, of which there is at least one."""
    result: Array = reduce(operator.add, parts)
    return result


def row_dots(left: Array, right: Array) -> Array:
    """Inner product of each row of (m, d) with the same row of another (m, d): (m,)."""
    result: Array = namespace(left).einsum("md,md->m", left, right)
    return result


def inverse_roots(squares: Array) -> Array:
    """1/sqrt of squared sizes (n,); 0 where a size is 0, so that a row without gradient scores 0, not NaN."""
    empty = squares <= 0
    result: Array = ~empty / (squares + empty) ** 0.5
    return result


def chunk_rows(array: Array) -> int:
    """Rows to convert at a time so that the converted copy stays within `CHUNK_BYTES`."""
    item_bytes = 8 if compute_dtype(array) == "float64" else 4
    budget = CHUNK_BYTES.get(str(array.device).partition(":")[0], _OTHER_DEVICE_BYTES)
    return max(1, budget // (item_bytes * max(1, int(array.shape[1]))))


def spans(length: int, step: int) -> Iterator[tuple[int, int]]:
    """Consecutive (start, stop) pairs that cover `range(length)`."""
    for start in range(0, length, step):
        yield start, min(start + step, length)


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Named arrays as bytes, as `numpy.savez` writes them."""
    buffer, named = io.BytesIO(), dict[str, Any](arrays)
    np.savez(buffer, **named)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def unpack_arrays(packed: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The arrays that were packed. Raises ValueError for bytes that are none."""
    with np.load(io.BytesIO(packed.tobytes()), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}

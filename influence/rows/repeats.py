"""Finding equal things in a long stream at 16 bytes each."""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 16
Rows = NDArray[np.int64]


class HashList:
    """A growing list of 16-byte hashes in the order of the rows."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes) // HASH_BYTES

    def add(self, content: bytes) -> None:
        """Hash and append."""
        self._bytes += hash_bytes(content)

    def groups(self) -> NDArray[np.int64]:
        """For every row the index of the first row that equals it; shape (rows,), int64."""
        if not self._bytes:
            return np.zeros(0, dtype=np.int64)
        pairs = np.frombuffer(bytes(self._bytes), dtype=np.uint64).reshape(-1, 2)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))  # stable: equal rows stay in their order
        starts = np.ones(len(order), dtype=bool)
        starts[1:] = (pairs[order[1:]] != pairs[order[:-1]]).any(axis=1)
        firsts = np.empty(len(order), dtype=np.int64)
        firsts[order] = order[starts][np.cumsum(starts) - 1]
        return firsts

    def repeats(self) -> Rows:
        """Indexes of the rows that equal an earlier one, ascending."""
        firsts = self.groups()
        return np.flatnonzero(firsts != np.arange(len(firsts))).astype(np.int64)


def hash_bytes(content: bytes) -> bytes:
    """16 bytes of BLAKE2b."""
    return blake2b(content, digest_size=HASH_BYTES).digest()

"""Finished compact indexes outside Redis, which is their cache from then on: what it loses is read back.

Values that the files have get a lifetime, so that a full server lets go of those that were not read for longest.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import redis

from influence.store import keys
from influence.store.connections import as_text
from influence.store.data.chunks import Key, check_piece, count_pieces
from influence.store.data.returns import Returns
from influence.store.data.vault.index_values import IndexValues, ValueTable
from influence.store.data.vault.port import Content

#: Row state of a shard that the build made; the last only where an index was grown.
_ROW_PARTS = ("kept", "losses", "values", "scales", "norms", "source")
_OPTIONAL = "source"
_KEYS_AT_ONCE = 1000


class Published:
    """Writes values of builds to files and reads them back; without files nothing is ever found."""

    def __init__(self, client: redis.Redis, values: IndexValues | None) -> None:
        self._client = client
        self._values = values
        self.returns = Returns(client)

    def publish(self, build: str, shards: int) -> int | None:
        """Write all that a finished build keeps, unless that was done; answers bytes written, None for none.

        Raises DamagedChunk where a value is lost, FilesUnavailable where the files do not answer.
        """
        if self._values is None or self._values.table(build) is not None:
            return None
        hashes = [cast("dict[bytes, bytes]", self._client.hgetall(name)) for name in _hashes(build)]
        commits, manifest = ({as_text(field): as_text(value) for field, value in one.items()} for one in hashes)
        written = self._values.write(build, self._read_all(build, shards, manifest), commits, manifest)
        table = self._values.table(build)
        if table is not None:
            self._begin_lifetimes(table)
        return written

    def fill(self, build: str, wanted: Mapping[str, Sequence[memoryview]]) -> Collection[str]:
        """Read those values into their buffers that this machine's files have; see `SecondCopies`."""
        return () if self._values is None else self._values.fill(build, wanted)

    def read_back(self, build: str, key: str) -> Content | None:
        """A value that Redis lost; it and those beside it are put there again later, where there is room."""
        if self._values is None:
            return None
        return self._values.page(build, key, partial(self.returns.put, build)).get(key)

    def at_hand(self, build: str, key: str) -> Content | None:
        """A value that was read with one beside it a moment ago."""
        return None if self._values is None else self._values.page_at_hand(build, key).get(key)

    def restore_hashes(self, build: str) -> bool:
        """Put the commits and shapes of a build back to Redis; whether there were any."""
        table = None if self._values is None else self._values.table(build)
        if table is None:
            return False
        pipeline = self._client.pipeline()
        for name, fields in zip(_hashes(build), (table.commits, table.manifest), strict=True):
            if fields:
                pipeline.hset(name, mapping=cast("dict[Any, Any]", fields))
                # So that what a deletion did not see ends by itself.
                pipeline.expire(name, keys.CHUNK_SECONDS)
        pipeline.execute()
        return True

    def remove(self, name: str, *, spared: str | None = None) -> None:
        """Remove the files of a build, or of all builds of an index where an index's id is given, but for one."""
        if self._values is not None:
            self._values.remove(name, spared=spared)

    def _read_all(self, build: str, shards: int, manifest: dict[str, str]) -> Iterator[tuple[str, bytes]]:
        for part in sorted(manifest):
            if ":" not in part:  # one that names the arrays of a group
                yield from self._read(partial(keys.index_state, build, part))
        for shard in range(shards):
            for part in _ROW_PARTS:
                yield from self._read(partial(keys.row_state, build, shard, part), is_needed=part != _OPTIONAL)

    def _read(self, key: Key, *, is_needed: bool = True) -> Iterator[tuple[str, bytes]]:
        first = cast("bytes | None", self._client.get(key(0)))
        if first is None and not is_needed:
            return
        count = count_pieces(first)
        yield key(0), check_piece(first)
        for number in range(1, count):
            yield key(number), check_piece(cast("bytes | None", self._client.get(key(number))))

    def _begin_lifetimes(self, table: ValueTable) -> None:
        for start in range(0, len(table.values), _KEYS_AT_ONCE):
            pipeline = self._client.pipeline(transaction=False)
            for value in table.values[start : start + _KEYS_AT_ONCE]:
                pipeline.expire(value.key, keys.CHUNK_SECONDS)
            pipeline.execute()


@dataclass(frozen=True)
class CopiesOfBuild:
    """What files have of one build."""

    published: Published
    build: str

    def fill(self, wanted: Mapping[str, Sequence[memoryview]]) -> Collection[str]:
        """See `SecondCopies`."""
        return self.published.fill(self.build, wanted)

    def at_hand(self, key: str) -> Content | None:
        """See `SecondCopies`."""
        return self.published.at_hand(self.build, key)

    def read_back(self, key: str) -> Content | None:
        """See `SecondCopies`."""
        return self.published.read_back(self.build, key)


def _hashes(build: str) -> tuple[str, str]:
    return keys.commits(build), keys.manifest(build)

"""What an index keeps in Redis beside its record: shard commits, row state, gradients.

All of it is kept by build (`Index.build`): what a build that was cancelled still writes is never taken for another's.
A shard's bytes are written first, its commit last and only once (HSETNX). Whatever is not committed does not
exist; a shard delivered twice commits once.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import redis
import structlog
from numpy.typing import NDArray

from influence.contracts.index import ShardCommit
from influence.store import keys
from influence.store.connections import as_text
from influence.store.data.chunks import DamagedChunk, SecondCopies, read_all_into, read_array, write_array
from influence.store.data.published import CopiesOfBuild, Published
from influence.store.data.sealed import seal, unseal
from influence.store.data.vault.index_values import IndexValues
from influence.store.jobs.counters import Counters

log = structlog.get_logger()

_DELETE_BATCH = 500
#: KEYS: a lock. ARGV: its holder, and for how many seconds more; 0 gives it back. Answers 1 when it was the holder's.
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


class IndexData:
    """Arrays and commits of indexes. Full gradients live in the cache role; row state is durable, until the files have
    it, too.

    What the files have is read back where it is lost, and then FilesUnavailable raised where they do not answer.
    """

    def __init__(self, state: redis.Redis, cache: redis.Redis, values: IndexValues | None = None) -> None:
        self._state = state
        self.published = Published(state, values)
        self._cache = cache
        self._counters = Counters(state)
        self._renew = state.register_script(_RENEW)

    def commit(self, build: str, commit: ShardCommit) -> bool:
        """Declare a shard complete; False when it was already."""
        text = seal(commit.model_dump_json())
        is_first = bool(self._state.hsetnx(keys.commits(build), str(commit.shard), text))
        if is_first:
            self._counters.rows_committed(commit.rows)
        return is_first

    def commits(self, build: str) -> dict[int, ShardCommit]:
        """All commits by shard number. One that cannot be read is removed: its shard counts as lost."""
        name, found = keys.commits(build), {}
        for field, text in self._state.hgetall(name).items():
            try:
                found[int(field)] = ShardCommit.model_validate_json(unseal(text))
            except ValueError as error:
                log.warning("a commit cannot be read", build=build, shard=repr(field), error=str(error)[:200])
                self._state.hdel(name, field)
        return found

    def require_commits(self, build: str, shards: int) -> list[ShardCommit]:
        """The commits of all shards in order. Raises DamagedChunk when some are lost."""
        found = self.commits(build)
        missing = [shard for shard in range(shards) if shard not in found]
        if missing and self.published.restore_hashes(build):
            found = self.commits(build)
            missing = [shard for shard in range(shards) if shard not in found]
        if missing:
            raise DamagedChunk(f"the commits of {len(missing)} of {shards} shards are lost")
        return [found[shard] for shard in range(shards)]

    def is_committed(self, build: str, shard: int) -> bool:
        """Whether a shard is complete."""
        return bool(self._state.hexists(keys.commits(build), str(shard)))

    def count_commits(self, build: str) -> int:
        """How many shards are complete."""
        return int(self._state.hlen(keys.commits(build)))

    def write_gradients(self, build: str, shard: int, block: int, array: NDArray[np.generic]) -> tuple[int, int]:
        """Keep the gradients (rows, d) of one block of one shard; answers (bytes, pieces)."""
        return write_array(
            self._cache,
            lambda piece: keys.gradients(build, shard, block, piece),
            array,
            lifetime_seconds=keys.CHUNK_SECONDS,
        )

    def read_gradients(
        self, build: str, shard: int, block: int, shape: Sequence[int], dtype: str
    ) -> NDArray[np.generic]:
        """Read them back; raises DamagedChunk when lost or damaged."""
        return read_array(
            self._cache,
            lambda piece: keys.gradients(build, shard, block, piece),
            shape,
            dtype,
            lifetime_seconds=keys.CHUNK_SECONDS,
        )

    def write_rows(self, build: str, shard: int, part: str, array: NDArray[np.generic]) -> tuple[int, int]:
        """Keep row state of a shard (`norms`, `kept`, `losses`, `codes`, ...)."""
        return write_array(self._state, lambda piece: keys.row_state(build, shard, part, piece), array)

    def read_rows(self, build: str, shard: int, part: str, shape: Sequence[int], dtype: str) -> NDArray[np.generic]:
        """Read row state back; raises DamagedChunk."""
        return read_array(
            self._state, partial(keys.row_state, build, shard, part), shape, dtype, copies=self._copies(build)
        )

    def read_rows_into(self, build: str, shard: int, part: str, array: NDArray[np.generic]) -> None:
        """Read row state into a contiguous array of its shape and dtype; raises DamagedChunk."""
        self.read_shard_into(build, shard, {part: array})

    def read_shard_into(self, build: str, shard: int, parts: Mapping[str, NDArray[np.generic]]) -> None:
        """The same of several parts at once: what lies together is read together."""
        named = [(partial(keys.row_state, build, shard, part), array) for part, array in parts.items()]
        read_all_into(self._state, named, self._copies(build))

    def _copies(self, build: str) -> SecondCopies:
        return CopiesOfBuild(self.published, build)

    def has_rows(self, build: str, shard: int, part: str) -> bool:
        """Whether row state was written; reading it tells whether it is whole."""
        return bool(self._state.exists(keys.row_state(build, shard, part, 0)))

    def write_parts(self, build: str, group: str, arrays: Mapping[str, NDArray[np.generic]]) -> int:
        """Keep named arrays of the whole index (basis, moments, ...) as one group; answers bytes written."""
        size = 0
        for name, array in arrays.items():
            part = f"{group}.{name}"
            size += write_array(self._state, partial(keys.index_state, build, part), array)[0]
            self._state.hset(keys.manifest(build), part, json.dumps([array.shape, array.dtype.name]))
        if arrays:
            self._state.hset(keys.manifest(build), _members(group), json.dumps(sorted(arrays)))
        return size

    def read_parts(self, build: str, group: str) -> dict[str, NDArray[np.generic]]:
        """Read a group back; empty when it was never written. Raises DamagedChunk."""
        found = {}
        manifest = {as_text(field): text for field, text in self._state.hgetall(keys.manifest(build)).items()}
        for part, text in manifest.items():
            if part.startswith(f"{group}."):
                shape, dtype = _read_shape(part, text)
                found[part[len(group) + 1 :]] = np.empty(shape, dtype)
        named = [(partial(keys.index_state, build, f"{group}.{name}"), array) for name, array in found.items()]
        read_all_into(self._state, named, self._copies(build))
        members = manifest.get(_members(group))
        if members is not None and as_text(members) != json.dumps(sorted(found)):  # earlier versions wrote none
            raise DamagedChunk(f"arrays of '{group}' are lost")
        return found

    def read_unmerged(self, build: str, group: str, merged: str) -> dict[str, NDArray[np.generic]]:
        """Read back a group that is added up into another and removed then; empty once a run has done that, or is at
        it this moment. Raises DamagedChunk."""
        try:
            return self.read_parts(build, group)
        except DamagedChunk:
            if not self.read_parts(build, merged):
                raise
            return {}

    def require_parts(self, build: str, group: str) -> dict[str, NDArray[np.generic]]:
        """Read a group back that was written. Raises DamagedChunk."""
        try:
            found = self.read_parts(build, group)
        except DamagedChunk:
            if not self.published.restore_hashes(build):
                raise
            found = {}
        if not found and self.published.restore_hashes(build):
            found = self.read_parts(build, group)
        if not found:
            raise DamagedChunk(f"the arrays '{group}' are lost")
        return found

    def delete_parts(self, build: str, group: str) -> None:
        """Remove a group of whole-index arrays, from the manifest at once: nobody is to take it for a damaged one."""
        fields = map(as_text, self._state.hkeys(keys.manifest(build)))
        parts = [field for field in fields if field.startswith(f"{group}.")]
        self._state.hdel(keys.manifest(build), _members(group), *parts)
        for part in parts:
            _delete_matching(self._state, keys.index_state(build, part, 0)[:-1] + "*")

    def claim_repair(self, build: str, shard: int, holder: str) -> bool:
        """Whether `holder` is the one that computes a lost shard again, for the next REPAIR_SECONDS."""
        name = keys.repair_lock(build, shard)
        return bool(self._state.set(name, holder, nx=True, ex=keys.REPAIR_SECONDS))

    def renew_repair(self, build: str, shard: int, holder: str) -> bool:
        """Hold it for another REPAIR_SECONDS; False when it is another's by now."""
        return bool(self._renew(keys=[keys.repair_lock(build, shard)], args=[holder, keys.REPAIR_SECONDS]))

    def release_repair(self, build: str, shard: int, holder: str) -> None:
        """The repair is done or given up; what is another's by now stays."""
        self._renew(keys=[keys.repair_lock(build, shard)], args=[holder, 0])

    def delete(self, build: str) -> None:
        """Remove files and keys of a build, or of all builds of an index where an index's id is given."""
        self._delete(build, None)

    def delete_others(self, index_id: str, build: str) -> None:
        """Remove all of all other builds of an index: a worker that was killed may have left some."""
        self._delete(index_id, build)

    def _delete(self, name: str, spared: str | None) -> None:
        self.published.remove(name, spared=spared)
        for client in {id(c): c for c in (self._state, self._cache)}.values():
            _delete_matching(client, keys.build_pattern(name), None if spared is None else keys.build_pattern(spared))


def _members(group: str) -> str:
    """Field of the manifest that names all arrays of a group: one that lost some is told from one that is whole."""
    return f"{group}:members"


def _read_shape(part: str, text: bytes | str) -> tuple[list[int], str]:
    try:
        shape, dtype = json.loads(text)
        return [int(size) for size in shape], np.dtype(dtype).name
    except (ValueError, TypeError) as error:
        raise DamagedChunk(f"the manifest does not say what '{part}' is") from error


def _delete_matching(client: redis.Redis, pattern: str, spared: str | None = None) -> None:
    batch: list[bytes] = []
    for name in client.scan_iter(match=pattern, count=1000):
        if spared is not None and name.startswith(spared.removesuffix("*").encode()):
            continue
        batch.append(name)
        if len(batch) == _DELETE_BATCH:
            client.unlink(*batch)
            batch.clear()
    if batch:
        client.unlink(*batch)

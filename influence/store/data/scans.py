"""What the parts of a pass over a partitioned index are asked, and what each found.

A part's answer is written first, its outcome last and only once (HSETNX): a part that was delivered twice counts once.
All of it may be lost at any time, and is then asked for again.
"""

from functools import partial
from typing import Any, cast

import numpy as np
import redis
from numpy.typing import NDArray

from influence.contracts.common import Frozen, Json
from influence.store import keys
from influence.store.connections import as_text
from influence.store.data.chunks import DamagedChunk, names_of, read_array, write_array

#: The actors on each worker's own queue: parts of one pass, and a single one, as versions before this one ask.
PARTS_ACTOR, PART_ACTOR = "compute_parts", "compute_part"


class PartWork(Frozen):
    """A message: a `step` over rows `start` to `stop` of an index, as it was built by a job; `shape` and `dtype` are of
    the array that all parts of the pass are asked. `rows` are places within the part, where the step is about some."""

    scan_id: str
    part: int
    index_id: str
    build_job_id: str
    start: int
    stop: int
    step: str
    shape: tuple[int, ...]
    dtype: str
    method: str = ""
    damping_scale: float | None = None
    rows: tuple[int, int] = (0, 0)


class Outcome(Frozen):
    """Shape and dtype of what a part found, or the problem that it met."""

    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    problem: Json | None = None


class Scans:
    """Passes under way, by their ids; `client` is the cache role's."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def begin(self, scan_id: str, asked: NDArray[np.generic]) -> None:
        """Keep what all parts are asked; to be repeated where it was lost."""
        write_array(self._client, partial(keys.scan_asked, scan_id), asked, lifetime_seconds=keys.SCAN_SECONDS)

    def has_begun(self, scan_id: str) -> bool:
        """Whether what is asked is still there."""
        return bool(self._client.exists(keys.scan_asked(scan_id, 0)))

    def asked(self, scan_id: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any] | None:
        """What all parts are asked; None where the pass is over, or it was lost."""
        try:
            return read_array(self._client, partial(keys.scan_asked, scan_id), shape, dtype)
        except DamagedChunk:
            return None

    def is_answered(self, scan_id: str, part: int) -> bool:
        """Whether a part has an outcome already."""
        return bool(self._client.hexists(keys.scan_outcomes(scan_id), str(part)))

    def answer(self, scan_id: str, part: int, found: NDArray[np.generic]) -> None:
        """Keep what a part found, unless another was faster."""
        write_array(self._client, partial(keys.scan_found, scan_id, part), found, lifetime_seconds=keys.SCAN_SECONDS)
        self._close(scan_id, part, Outcome(shape=found.shape, dtype=found.dtype.name))

    def refuse(self, scan_id: str, part: int, problem: Json) -> None:
        """Say why a part has no answer."""
        self._close(scan_id, part, Outcome(problem=problem))

    def _close(self, scan_id: str, part: int, outcome: Outcome) -> None:
        outcomes, news = keys.scan_outcomes(scan_id), keys.scan_news(scan_id)
        if self._client.hsetnx(outcomes, str(part), outcome.model_dump_json()):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.expire(outcomes, keys.SCAN_SECONDS)
            pipeline.rpush(news, part)
            pipeline.expire(news, keys.SCAN_SECONDS)
            pipeline.execute()

    def hear(self, scan_id: str, seconds: float) -> None:
        """Wait so long for the next part that has an outcome."""
        self._client.blpop([keys.scan_news(scan_id)], timeout=seconds)

    def outcomes(self, scan_id: str) -> dict[int, Outcome]:
        """Of all parts that have one, by their numbers."""
        found = cast("dict[bytes, bytes]", self._client.hgetall(keys.scan_outcomes(scan_id)))
        return {int(part): Outcome.model_validate_json(text) for part, text in found.items()}

    def take(self, scan_id: str, part: int, outcome: Outcome) -> NDArray[Any] | None:
        """What a part found, which is kept no longer; None where it was lost, and the part has no outcome then."""
        try:
            found = read_array(self._client, partial(keys.scan_found, scan_id, part), outcome.shape, outcome.dtype)
        except DamagedChunk:
            self._client.hdel(keys.scan_outcomes(scan_id), str(part))
            return None
        self._client.unlink(*names_of(partial(keys.scan_found, scan_id, part), found))
        return found

    def end(self, scan_id: str, asked: NDArray[np.generic]) -> None:
        """Remove what all parts share; what a late one still writes ends by its lifetime."""
        shared = names_of(partial(keys.scan_asked, scan_id), asked)
        self._client.unlink(*shared, keys.scan_outcomes(scan_id), keys.scan_news(scan_id))

    def holders(self, build: str, parts: int) -> dict[int, str]:
        """Which worker keeps which part of an index hot that is cut into so many."""
        found = cast("dict[bytes, bytes]", self._client.hgetall(keys.holders(build)))
        named = {as_text(field).partition(" "): as_text(name) for field, name in found.items()}
        return {int(part): name for (count, _, part), name in named.items() if count == str(parts) and part.isdecimal()}

    def keep_holders(self, build: str, parts: int, holders: dict[int, str]) -> None:
        """Note who keeps what; those who note it at once, note the same."""
        name = keys.holders(build)
        self._client.hset(name, mapping={f"{parts} {part}": worker for part, worker in holders.items()})
        self._client.expire(name, keys.CHUNK_SECONDS)

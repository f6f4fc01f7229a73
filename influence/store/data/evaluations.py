"""What an evaluation keeps in Redis beside its record: the plan, the results of its pieces, the drawn pictures.

A plan is made once and a result is written once (HSETNX): a piece that two workers computed counts once.
"""

import json
from collections.abc import Sequence
from typing import cast

import redis
import structlog

from influence.contracts.common import Json
from influence.digests import canonical_json
from influence.store import keys

log = structlog.get_logger()


class EvaluationData:
    """Plans, results and pictures by evaluation."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def keep_plan(self, evaluation_id: str, pieces: Sequence[Json]) -> list[Json]:
        """Keep the pieces; answers the plan that counts, which is another worker's if that one was faster."""
        self._client.set(keys.evaluation_plan(evaluation_id), canonical_json(list(pieces)), nx=True)
        return self.plan(evaluation_id) or []

    def plan(self, evaluation_id: str) -> list[Json] | None:
        """The pieces in their order, or None before they are planned; one that cannot be read is removed."""
        name = keys.evaluation_plan(evaluation_id)
        text = self._client.get(name)
        try:
            return None if text is None else cast("list[Json]", json.loads(text))
        except ValueError as error:
            log.warning("a plan cannot be read", evaluation_id=evaluation_id, error=str(error)[:200])
            self._client.delete(name)
            return None

    def keep_result(self, evaluation_id: str, piece: int, result: Json) -> bool:
        """Keep the result of a piece; False when there was one already."""
        text = canonical_json(result)
        return bool(self._client.hsetnx(keys.evaluation_results(evaluation_id), str(piece), text))

    def has_result(self, evaluation_id: str, piece: int) -> bool:
        """Whether a piece is done."""
        return bool(self._client.hexists(keys.evaluation_results(evaluation_id), str(piece)))

    def pieces_done(self, evaluation_id: str) -> set[int]:
        """Numbers of the pieces that are done."""
        return {int(piece) for piece in self._client.hkeys(keys.evaluation_results(evaluation_id))}

    def results(self, evaluation_id: str) -> dict[int, Json]:
        """All results by piece. One that cannot be read is removed: its piece is computed again."""
        name, found = keys.evaluation_results(evaluation_id), {}
        for piece, text in self._client.hgetall(name).items():
            try:
                found[int(piece)] = json.loads(text)
            except ValueError as error:
                log.warning("a result cannot be read", evaluation_id=evaluation_id, error=str(error)[:200])
                self._client.hdel(name, piece)
        return found

    def keep_picture(self, evaluation_id: str, file_name: str, content: bytes) -> None:
        """Keep a drawn picture."""
        self._client.hset(keys.evaluation_pictures(evaluation_id), file_name, content)

    def picture(self, evaluation_id: str, file_name: str) -> bytes | None:
        """The bytes of a picture, or None."""
        return cast("bytes | None", self._client.hget(keys.evaluation_pictures(evaluation_id), file_name))

    def delete(self, evaluation_id: str) -> None:
        """Remove every key of an evaluation but its record."""
        self._client.delete(
            keys.evaluation_plan(evaluation_id),
            keys.evaluation_results(evaluation_id),
            keys.evaluation_pictures(evaluation_id),
        )

"""Decisions of a review as one document among the files, written when they changed."""

import json
from collections.abc import Mapping
from typing import Any, Literal, cast

import redis

from influence.contracts.common import Frozen
from influence.contracts.curation.review import Decision
from influence.store import keys
from influence.store.data.sealed import seal, unseal
from influence.store.data.vault.record_copies import RecordCopies

#: What copies of decisions are kept under.
KIND = "decisions"


class DecisionDocument(Frozen):
    """All of a review but its record, by row: decisions, versions that last decided, changed, and whose word stands."""

    version: Literal[1] = 1
    decisions: dict[int, Decision]
    order: dict[int, int]
    moves: dict[int, int]
    owners: dict[int, int]
    history: list[dict[str, Any]]


class DecisionCopies:
    """Writes decisions to files and brings them back."""

    def __init__(self, client: redis.Redis, copies: RecordCopies) -> None:
        self._client = client
        self._copies = copies
        self._written: dict[str, int] = {}

    def write_changed(self, review_id: str) -> bool:
        """Copy the decisions of a review if they changed since this was asked last; whether they had.

        Raises FilesUnavailable, OSError, and ValueError for decisions that cannot be read.
        """
        version = int(self._client.llen(keys.review_history(review_id)))
        if self._written.get(review_id, 0) == version:
            return False
        document = self._read(review_id)
        self._copies.write(KIND, review_id, seal(document.model_dump_json()).encode())
        if not self._client.exists(keys.record("review", review_id)):  # deleted meanwhile
            self._copies.remove(KIND, review_id)
        self._written[review_id] = len(document.history)
        return True

    def read(self, review_id: str) -> bytes | None:
        """The document that was kept; None where there is none."""
        return self._copies.read(KIND, review_id)

    def remove(self, review_id: str) -> None:
        """Keep nothing of a review's decisions any more."""
        self._copies.remove(KIND, review_id)

    def restore(self, review_id: str, text: bytes) -> int | None:
        """Write decisions back to a review that has none; answers how many, None where it has some.

        Raises ValueError for a document that is none.
        """
        document = DecisionDocument.model_validate_json(unseal(text))
        _check(document)

        def attempt(pipeline: Any) -> Any:
            return _restore(pipeline, review_id, document)

        answer = self._client.transaction(attempt, keys.review_history(review_id), value_from_callable=True)
        return cast("int | None", answer)

    def _read(self, review_id: str) -> DecisionDocument:
        pipeline: Any = self._client.pipeline()
        pipeline.hgetall(keys.review_decisions(review_id))
        pipeline.zrange(keys.review_order(review_id), 0, -1, withscores=True)
        pipeline.zrange(keys.review_moves(review_id), 0, -1, withscores=True)
        pipeline.hgetall(keys.review_owners(review_id))
        pipeline.lrange(keys.review_history(review_id), 0, -1)
        decisions, order, moves, owners, history = pipeline.execute()
        return DecisionDocument(
            decisions={int(row): Decision.model_validate_json(text) for row, text in decisions.items()},
            order=_numbers(dict(order)),
            moves=_numbers(dict(moves)),
            owners=_numbers(owners),
            history=[json.loads(entry) for entry in history],
        )


def _numbers(found: Mapping[bytes, Any]) -> dict[int, int]:
    return {int(row): int(version) for row, version in found.items()}


def _check(document: DecisionDocument) -> None:
    if [entry.get("version") for entry in document.history] != list(range(1, len(document.history) + 1)):
        raise ValueError("its history has gaps")
    if any(row != decision.row_index for row, decision in document.decisions.items()):
        raise ValueError("a decision stands at another row")
    if document.order.keys() != document.decisions.keys():
        raise ValueError("its order is not that of its decisions")


def _restore(pipeline: Any, review_id: str, document: DecisionDocument) -> int | None:
    has_some = pipeline.llen(keys.review_history(review_id))
    pipeline.multi()
    if has_some:
        return None
    counts: dict[str, int] = {}
    for decision in document.decisions.values():
        counts[decision.action] = counts.get(decision.action, 0) + 1
    texts = {str(row): decision.model_dump_json() for row, decision in document.decisions.items()}
    for write, name, values in (
        (pipeline.hset, keys.review_decisions, texts),
        (pipeline.hset, keys.review_owners, _named(document.owners)),
        (pipeline.hset, keys.review_counts, counts),
    ):
        if values:
            write(name(review_id), mapping=values)
    for name, versions in ((keys.review_order, document.order), (keys.review_moves, document.moves)):
        if versions:
            pipeline.zadd(name(review_id), _named(versions))
    if document.history:
        pipeline.rpush(keys.review_history(review_id), *map(json.dumps, document.history))
    return len(document.decisions)


def _named(versions: Mapping[int, int]) -> dict[str, int]:
    return {str(row): version for row, version in versions.items()}

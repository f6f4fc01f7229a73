"""What a review keeps in Redis beside its record: decisions, and every change in its order.

A change is one transaction: decisions, counts and history move together or not at all, and another writer in between
makes it begin again. So a process that dies leaves a whole change or none.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

import redis
import structlog

from influence.contracts.common import Json, now
from influence.contracts.curation.review import Conflict, Decision, DecisionChange, HistoryEntry
from influence.errors import RecordDamaged
from influence.store import keys
from influence.store.connections import as_text
from influence.store.data.told import make_event
from influence.store.data.vault.decision_copies import DecisionCopies
from influence.store.data.vault.record_copies import RecordCopies

log = structlog.get_logger()
Method = TypeVar("Method", bound=Callable[..., Any])

#: How far back `undo` looks for a reviewer's last change.
_UNDO_REACH = 10_000
_LAST_DECISIONS = 20
_READ_ROWS = 5_000


def _readable(method: Method) -> Method:
    """The method, that names the review where something of it is not what was written. Raises RecordDamaged."""

    @wraps(method)
    def guarded(self: "ReviewData", review_id: str, *given: Any, **named: Any) -> Any:
        try:
            return method(self, review_id, *given, **named)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(review_id, error) from error

    return cast("Method", guarded)


def _damaged(review_id: str, error: Exception) -> RecordDamaged:
    log.error("decisions of a review cannot be read", review_id=review_id, error=str(error)[:200])
    return RecordDamaged(f"Stored decisions of review '{review_id[:80]}' cannot be read.")


def _parse(review_id: str, text: bytes) -> Decision:
    try:
        return Decision.model_validate_json(text)
    except ValueError as error:
        raise _damaged(review_id, error) from error


class ReviewData:
    """Decisions of reviews. A version is the number of changes so far.

    Whatever reads them raises RecordDamaged where something is not what was written.
    """

    def __init__(self, client: redis.Redis, copies: RecordCopies | None = None) -> None:
        self._client = client
        self.copies = None if copies is None else DecisionCopies(client, copies)

    def version(self, review_id: str) -> int:
        """How many changes were made."""
        return self._client.llen(keys.review_history(review_id))

    @_readable
    def counts(self, review_id: str) -> dict[str, int]:
        """Decisions by action."""
        found = cast("dict[bytes, bytes]", self._client.hgetall(keys.review_counts(review_id)))
        return {as_text(name): int(count) for name, count in found.items()}

    @_readable
    def last_actions(self, review_id: str) -> list[str]:
        """Actions of the newest decisions that are not put off, at most 20."""
        found = self.find(review_id, self._newest(review_id, 0, 3 * _LAST_DECISIONS))
        actions = [decision.action for decision in found.values() if decision.action != "later"]
        return cast("list[str]", actions[:_LAST_DECISIONS])

    @_readable
    def find(self, review_id: str, rows: Sequence[int]) -> dict[int, Decision]:
        """Decisions of the rows named; rows without one are left out."""
        found: dict[int, Decision] = {}
        for start in range(0, len(rows), _READ_ROWS):
            part = rows[start : start + _READ_ROWS]
            texts = self._client.hmget(keys.review_decisions(review_id), [str(row) for row in part])
            found |= {
                row: Decision.model_validate_json(text)
                for row, text in zip(part, cast("list[bytes | None]", texts), strict=True)
                if text is not None
            }
        return found

    @_readable
    def decided(self, review_id: str) -> set[int]:
        """Indexes of all rows with a decision."""
        return {int(row) for row in cast("list[bytes]", self._client.hkeys(keys.review_decisions(review_id)))}

    def scan(self, review_id: str) -> Iterator[Decision]:
        """All decisions, in no order."""
        for _, text in self._client.hscan_iter(keys.review_decisions(review_id), count=_READ_ROWS):
            yield _parse(review_id, text)

    @_readable
    def page(self, review_id: str, offset: int, length: int) -> tuple[list[Decision], int]:
        """Decisions from `offset` on, the newest first, and how many there are."""
        rows = self._newest(review_id, offset, length)
        found = self.find(review_id, rows)
        return [found[row] for row in rows if row in found], self._client.zcard(keys.review_order(review_id))

    @_readable
    def history(self, review_id: str, offset: int, length: int) -> list[HistoryEntry]:
        """Changes from `offset` on, the newest first."""
        texts = self._client.lrange(keys.review_history(review_id), -offset - length, -offset - 1)
        return [_entry(json.loads(text)) for text in reversed(cast("list[bytes]", texts))]

    @_readable
    def change(
        self, review_id: str, changes: Sequence[DecisionChange], *, by: str | None, known: int | None
    ) -> tuple[int, int, list[Conflict]]:
        """Apply changes; answers (applied, version, conflicts).

        With `known`, the version that the caller saw, rows that were decided after it are conflicts and stay.
        """

        def work(found: "_Rows") -> _Work:
            fresh = [one for one in changes if known is None or found.moved.get(one.row_index, 0) <= known]
            after = {one.row_index: _decision(one, by, found.version + 1) for one in fresh}
            owners = dict.fromkeys(after, found.version + 1)
            return _Work(after, owners, found.conflicts([one.row_index for one in changes], after), None)

        return self._commit(review_id, [one.row_index for one in changes], work, by)

    @_readable
    def undo(self, review_id: str, by: str | None) -> tuple[int, int, list[Conflict]] | None:
        """Take the last change back that was not taken back, of one reviewer or of anyone; None if there is none.

        Rows that another change has decided since are conflicts and stay.
        """
        entry = self._last_change(review_id, by)
        if entry is None:
            return None
        before = {int(row): _restored(decision) for row, decision in entry["before"].items()}
        owners = {int(row): int(version) for row, version in entry["owners"].items()}

        def work(found: "_Rows") -> _Work:
            after = {row: before[row] for row in before if found.owners.get(row, 0) == entry["version"]}
            return _Work(after, {row: owners[row] for row in after}, found.conflicts(before, after), entry["version"])

        return self._commit(review_id, list(before), work, by)

    def delete(self, review_id: str) -> None:
        """Remove everything of a review but its record, the copy of its decisions first. Raises FilesUnavailable."""
        if self.copies is not None:
            self.copies.remove(review_id)
        self._client.delete(*_all_keys(review_id))

    def _newest(self, review_id: str, offset: int, length: int) -> list[int]:
        found = self._client.zrevrange(keys.review_order(review_id), offset, offset + length - 1)
        return [int(row) for row in cast("list[bytes]", found)]

    def _last_change(self, review_id: str, by: str | None) -> Json | None:
        texts = cast("list[bytes]", self._client.lrange(keys.review_history(review_id), -_UNDO_REACH, -1))
        undone: set[int] = set()
        for text in reversed(texts):
            entry: Json = json.loads(text)
            if entry["undoes"] is not None:
                undone.add(entry["undoes"])
            elif entry["version"] not in undone and (by is None or entry["by"] == by):
                return entry
        return None

    def _commit(
        self, review_id: str, rows: Sequence[int], work: "Callable[..., _Work]", by: str | None
    ) -> tuple[int, int, list[Conflict]]:
        def attempt(pipeline: Any) -> Any:
            names = [str(row) for row in rows]
            found = _Rows(
                version=int(pipeline.llen(keys.review_history(review_id))),
                current=self.find(review_id, rows),
                moved=_known(rows, pipeline.zmscore(keys.review_moves(review_id), names)),
                owners=_known(rows, pipeline.hmget(keys.review_owners(review_id), names)),
            )
            done = work(found)
            self.counts(review_id)  # before anything is written: a count that is none stops half of a change
            is_told = pipeline.exists(keys.listing("webhook"))
            pipeline.multi()
            if done.after:
                _write(pipeline, review_id, found, done, by)
                if is_told:
                    about = {"review_id": review_id, "version": found.version + 1, "rows": len(done.after), "by": by}
                    pipeline.rpush(keys.webhook_events(), make_event("review.updated", about).model_dump_json())
            return len(done.after), found.version + bool(done.after), done.conflicts

        answer = self._client.transaction(attempt, *_all_keys(review_id), value_from_callable=True)
        return cast("tuple[int, int, list[Conflict]]", answer)


@dataclass(frozen=True)
class _Rows:
    """Rows as a change finds them: decisions, versions that last touched them, versions whose word stands."""

    version: int
    current: Mapping[int, Decision]
    moved: Mapping[int, int]
    owners: Mapping[int, int]

    def conflicts(self, rows: Iterable[int], after: Mapping[int, Decision | None]) -> list[Conflict]:
        """The rows that a change leaves alone."""
        return [Conflict(row_index=row, current=self.current.get(row)) for row in rows if row not in after]


@dataclass(frozen=True)
class _Work:
    """What a change makes of rows: their new decision, or None for none, and whose word stands then."""

    after: Mapping[int, Decision | None]
    owners: Mapping[int, int]
    conflicts: list[Conflict]
    undoes: int | None


def _known(rows: Sequence[int], values: Sequence[Any]) -> dict[int, int]:
    return {row: int(value) for row, value in zip(rows, values, strict=True) if value is not None}


def _write(pipeline: Any, review_id: str, found: _Rows, done: _Work, by: str | None) -> None:
    version, current = found.version + 1, found.current
    made = {row: decision for row, decision in done.after.items() if decision is not None}
    gone = [str(row) for row, decision in done.after.items() if decision is None]
    if made:
        texts = {str(row): decision.model_dump_json() for row, decision in made.items()}
        pipeline.hset(keys.review_decisions(review_id), mapping=texts)
        pipeline.zadd(keys.review_order(review_id), {str(row): one.version for row, one in made.items()})
    if gone:
        pipeline.hdel(keys.review_decisions(review_id), *gone)
        pipeline.zrem(keys.review_order(review_id), *gone)
    pipeline.zadd(keys.review_moves(review_id), {str(row): version for row in done.after})
    pipeline.hset(keys.review_owners(review_id), mapping={str(row): owner for row, owner in done.owners.items()})
    for action, step in _count_steps(current, done.after).items():
        pipeline.hincrby(keys.review_counts(review_id), action, step)
    actions = {decision.action if decision else None for decision in done.after.values()}
    entry = {
        "version": version,
        "at": now().isoformat(),
        "by": by,
        "undoes": done.undoes,
        "action": actions.pop() if len(actions) == 1 else None,
        "before": {str(row): _dump(current.get(row)) for row in done.after},
        "owners": {str(row): found.owners.get(row, 0) for row in done.after},
    }
    pipeline.rpush(keys.review_history(review_id), json.dumps(entry))


def _count_steps(current: Mapping[int, Decision], after: Mapping[int, Decision | None]) -> dict[str, int]:
    steps: dict[str, int] = {}
    for row, decision in after.items():
        if row in current:
            steps[current[row].action] = steps.get(current[row].action, 0) - 1
        if decision is not None:
            steps[decision.action] = steps.get(decision.action, 0) + 1
    return {action: step for action, step in steps.items() if step}


def _decision(change: DecisionChange, by: str | None, version: int) -> Decision | None:
    if change.action is None:
        return None
    return Decision(**change.model_dump(), by=by, at=now(), version=version)


def _restored(before: Json | None) -> Decision | None:
    return None if before is None else Decision.model_validate(before)


def _dump(decision: Decision | None) -> Json | None:
    return None if decision is None else decision.model_dump(mode="json")


def _entry(stored: Json) -> HistoryEntry:
    return HistoryEntry(**{**stored, "rows": len(stored["before"])})


def _all_keys(review_id: str) -> Iterable[str]:
    makers = (
        keys.review_decisions,
        keys.review_order,
        keys.review_moves,
        keys.review_owners,
        keys.review_counts,
        keys.review_history,
    )
    return [make(review_id) for make in makers]

"""JSON records with a listing: checkpoints, data sets, indexes, queries, evaluations."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import redis

from influence.contracts.common import Frozen, Page
from influence.errors import NotFound
from influence.store import keys

Model = TypeVar("Model", bound=Frozen)


class Records(Generic[Model]):
    """All records of one kind. Creation is once only: the same id twice keeps the first."""

    def __init__(self, client: redis.Redis, kind: str, model: type[Model]) -> None:
        self._client = client
        self._kind = kind
        self._model = model

    def create(self, record: Model) -> bool:
        """Keep a new record; False when the id exists already."""
        record_id = _id_of(record)
        created = self._client.set(keys.record(self._kind, record_id), record.model_dump_json(), nx=True)
        moment_ms = int(record.created_at.timestamp() * 1000)  # type: ignore[attr-defined]
        self._client.zadd(keys.listing(self._kind), {record_id: moment_ms}, nx=True)
        return bool(created)

    def find(self, record_id: str) -> Model | None:
        """The record, or None."""
        text = self._client.get(keys.record(self._kind, record_id))
        return None if text is None else self._model.model_validate_json(text)

    def require(self, record_id: str) -> Model:
        """The record; raises NotFound."""
        record = self.find(record_id)
        if record is None:
            raise NotFound(f"There is no {self._kind} '{record_id[:80]}'.")
        return record

    def update(self, record_id: str, change: Callable[[Model], Model]) -> Model:
        """Replace a record by `change(record)`, again if another writer came between. Raises NotFound."""
        name = keys.record(self._kind, record_id)

        def attempt(pipeline: redis.client.Pipeline) -> Model:
            text = pipeline.get(name)
            if text is None:
                raise NotFound(f"There is no {self._kind} '{record_id[:80]}'.")
            changed = change(self._model.model_validate_json(text))
            pipeline.multi()
            pipeline.set(name, changed.model_dump_json(), keepttl=True)
            return changed

        # redis-py's annotation forgets that the callable's value is handed back.
        run = cast("Callable[..., Any]", self._client.transaction)
        return cast("Model", run(attempt, name, value_from_callable=True))

    def expire(self, record_id: str, lifetime_seconds: int) -> None:
        """Give a finished record a lifetime."""
        self._client.expire(keys.record(self._kind, record_id), lifetime_seconds)

    def delete(self, record_id: str) -> bool:
        """Remove a record; False when there was none."""
        self._client.zrem(keys.listing(self._kind), record_id)
        return bool(self._client.delete(keys.record(self._kind, record_id)))

    def page(self, *, limit: int, after: str | None = None) -> Page[Model]:
        """Newest first; `after` is the last id of the page before."""
        found = self._following(limit + 1, after)
        data = found[:limit]
        more = len(found) > limit
        return Page[Model](data=data, has_more=more, next=_id_of(data[-1]) if more else None)

    def _following(self, count: int, after: str | None) -> list[Model]:
        position = 0
        if after is not None:
            rank = self._client.zrevrank(keys.listing(self._kind), after)
            if rank is None:
                raise NotFound(f"The cursor '{after[:80]}' points at nothing.", hint="Start from the first page.")
            position = int(cast("int", rank)) + 1
        found: list[Model] = []
        while len(found) < count:
            ids = self._client.zrevrange(keys.listing(self._kind), position, position + count - 1)
            if not ids:
                break
            read = self._read(cast("list[bytes]", ids))
            found += read
            position += len(read)  # the others left the listing just now
        return found[:count]

    def _read(self, ids: list[bytes]) -> list[Model]:
        """Records of ids in order; an id whose record has ended its life leaves the listing."""
        names = [record_id.decode() for record_id in ids]
        texts = self._client.mget([keys.record(self._kind, name) for name in names])
        gone = [name for name, text in zip(names, texts, strict=True) if text is None]
        if gone:
            self._client.zrem(keys.listing(self._kind), *gone)
        return [self._model.model_validate_json(text) for text in texts if text is not None]

    def all(self) -> list[Model]:
        """Every record, newest first. For kinds of which there are few."""
        return self._read(cast("list[bytes]", self._client.zrevrange(keys.listing(self._kind), 0, -1)))


def _id_of(record: Frozen) -> str:
    return str(record.id)  # type: ignore[attr-defined]

"""JSON records with a listing: checkpoints, data sets, and what long work makes."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

import redis

from influence.contracts.common import Page, Record
from influence.contracts.job import WorkRecord
from influence.contracts.work import WorkKind
from influence.errors import NotFound
from influence.store import keys

Model = TypeVar("Model", bound=Record)
Made = TypeVar("Made", bound=WorkRecord)
Result = TypeVar("Result")

#: Records that are read at a time where all are wanted: one may be megabytes large.
_BATCH = 50


class Records(Generic[Model]):
    """All records of one kind. Creation is once only: the same id twice keeps the first."""

    def __init__(self, client: redis.Redis, kind: str, model: type[Model]) -> None:
        self._client = client
        self._kind = kind
        self._model = model

    def create(self, record: Model) -> bool:
        """Keep a new record; False when the id exists already."""
        return self.claim(record, lambda _: False) is record

    def claim(self, record: Model, is_free: Callable[[Model], bool]) -> Model:
        """Keep a record where its id has none, or one that `is_free`; answers the one that is kept now."""
        name = keys.record(self._kind, record.id)

        def attempt(pipeline: redis.client.Pipeline) -> Model:
            text = pipeline.get(name)
            current = None if text is None else self._model.model_validate_json(text)
            pipeline.multi()
            if current is not None and not is_free(current):
                return current
            pipeline.set(name, record.model_dump_json())
            pipeline.zadd(keys.listing(self._kind), {record.id: int(record.created_at.timestamp() * 1000)})
            return record

        return self._transact(name, attempt)

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

        return self._transact(name, attempt)

    def _transact(self, name: str, attempt: Callable[[redis.client.Pipeline], Result]) -> Result:
        # redis-py's annotation forgets that the callable's value is handed back.
        run = cast("Callable[..., Any]", self._client.transaction)
        return cast("Result", run(attempt, name, value_from_callable=True))

    def expire(self, record_id: str, lifetime_seconds: int) -> None:
        """Give a finished record a lifetime."""
        self._client.expire(keys.record(self._kind, record_id), lifetime_seconds)

    def delete(self, record_id: str) -> bool:
        """Remove a record; False when there was none."""
        self._client.zrem(keys.listing(self._kind), record_id)
        return bool(self._client.delete(keys.record(self._kind, record_id)))

    def delete_if(self, record_id: str, condition: Callable[[Model], bool]) -> None:
        """Remove a record, if there is one and it is as it should be at that moment."""
        name = keys.record(self._kind, record_id)

        def attempt(pipeline: redis.client.Pipeline) -> None:
            text = pipeline.get(name)
            pipeline.multi()
            if text is not None and condition(self._model.model_validate_json(text)):
                pipeline.delete(name)
                pipeline.zrem(keys.listing(self._kind), record_id)

        self._transact(name, attempt)

    def page(self, *, limit: int, after: str | None = None) -> Page[Model]:
        """Newest first; `after` is the last id of the page before."""
        found = self._following(limit + 1, after)
        data = found[:limit]
        more = len(found) > limit
        return Page[Model](data=data, has_more=more, next=data[-1].id if more else None)

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
        return list(self.each())

    def each(self) -> Iterator[Model]:
        """Every record, newest first, with some of them in memory at a time."""
        ids = cast("list[bytes]", self._client.zrevrange(keys.listing(self._kind), 0, -1))
        for start in range(0, len(ids), _BATCH):
            yield from self._read(ids[start : start + _BATCH])


class WorkRecords(Records[Made]):
    """The records of one kind of long work.

    `delete_data` removes what a record keeps beside itself, `delete_work` what of it only unfinished work needs.
    """

    def __init__(
        self,
        client: redis.Redis,
        kind: WorkKind[Made],
        delete_data: Callable[[Made], None] = lambda _: None,
        delete_work: Callable[[Made], None] = lambda _: None,
    ) -> None:
        super().__init__(client, kind.name, kind.record)
        self.kind = kind
        self.delete_data = delete_data
        self.delete_work = delete_work

"""JSON records with a listing: checkpoints, data sets, and what long work makes."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

import redis
import structlog

from influence.contracts.common import DEFAULT_NAMESPACE, Page, Record
from influence.contracts.work import WorkKind
from influence.contracts.work_record import WorkRecord
from influence.errors import FilesUnavailable, NotFound, RecordDamaged, ResourceInUse
from influence.store import keys
from influence.store.data.sealed import seal, unseal
from influence.store.data.vault.record_copies import RecordCopies, is_copied
from influence.store.ending.lifetimes import Lifetimes

Model = TypeVar("Model", bound=Record)
Made = TypeVar("Made", bound=WorkRecord)
Result = TypeVar("Result")

log = structlog.get_logger()

#: Records that are read at a time where all are wanted: one may be megabytes large.
_BATCH = 50


class Records(Generic[Model]):
    """Records of one kind: all, or those of one namespace, where others are as if they were not.

    Creation is once only: the same id twice keeps the first. With `copies` the files have a copy of each record.
    """

    def __init__(
        self,
        client: redis.Redis,
        kind: str,
        model: type[Model],
        namespace: str | None = None,
        copies: RecordCopies | None = None,
    ) -> None:
        self._client = client
        self._kind = kind
        self.model = model
        self._namespace = namespace
        self._copies = copies
        self._listing = keys.listing(kind, namespace)
        #: Records that were found damaged: the log says so once.
        self._reported: set[str] = set()

    def create(self, record: Model) -> bool:
        """Keep a new record; False when the id exists already."""
        own = self._own(record)
        return self.claim(own, lambda _: False) is own

    def claim(self, record: Model, is_free: Callable[[Model], bool]) -> Model:
        """Keep a record where its id has none that can be read, or one that `is_free`; answers the one kept now."""
        name, own = keys.record(self._kind, record.id), self._own(record)

        def attempt(pipeline: redis.client.Pipeline) -> Model:
            text = pipeline.get(name)
            current = None if text is None else self._parse_whole(record.id, text)
            pipeline.multi()
            if current is not None and current.namespace != own.namespace:
                raise ResourceInUse(f"The id {own.id} is taken.")
            if current is not None and not is_free(current):
                return current
            pipeline.set(name, seal(own.model_dump_json()))
            for listing in keys.listings(self._kind, own.namespace):
                pipeline.zadd(listing, {own.id: int(own.created_at.timestamp() * 1000)})
            return own

        kept = self._transact(name, attempt)
        if kept is own:
            self.copy(kept)
        return kept

    def copy(self, record: Model) -> None:
        """Write a record's copy as the record is by then; a change or a deletion meanwhile counts.

        What cannot be written now is written when an API process starts.
        """
        if self._copies is None or not is_copied(record):
            return
        name = keys.record(self._kind, record.id)
        try:
            text = cast("bytes | None", self._client.get(name))
            while text is not None:
                self._copies.write(self._kind, record.id, text)
                written, text = text, cast("bytes | None", self._client.get(name))
                if text == written:
                    return
            self._copies.remove(self._kind, record.id)
        except (FilesUnavailable, OSError) as error:
            log.warning("a record is not copied", kind=self._kind, id=record.id, error=str(error)[:200])

    def copy_missing(self) -> int:
        """Copy the records that have no copy; answers how many. Raises FilesUnavailable, OSError."""
        copied = set() if self._copies is None else set(self._copies.ids(self._kind))
        missing = [record for record in self.each() if record.id not in copied]
        for record in missing:
            self.copy(record)
        return len(missing)

    def _remove_copy(self, record_id: str) -> None:
        if self._copies is not None:
            self._copies.remove(self._kind, record_id)

    def _own(self, record: Model) -> Model:
        """The record as it is kept: in our namespace, where we have one."""
        if self._namespace in (None, record.namespace):
            return record
        return record.model_copy(update={"namespace": self._namespace})

    def _sees(self, record: Model) -> bool:
        return self._namespace in (None, record.namespace)

    def require_there(self, record_id: str) -> None:
        """Raise NotFound when there is no record, be it one that cannot be read."""
        if self._namespace is not None:
            self.require(record_id)
        elif not self._client.exists(keys.record(self._kind, record_id)):
            raise NotFound(f"There is no {self._kind} '{record_id[:80]}'.")

    def find(self, record_id: str) -> Model | None:
        """The record, or None. Raises RecordDamaged."""
        text = self._client.get(keys.record(self._kind, record_id))
        if self._namespace is not None:  # of one that cannot be read nobody knows whose it is
            return None if text is None else self._parse_seen(record_id, text)
        return None if text is None else self._parse(record_id, text)

    def find_whole(self, record_id: str) -> Model | None:
        """The record, or None where there is none that can be read."""
        text = self._client.get(keys.record(self._kind, record_id))
        return None if text is None else self._parse_seen(record_id, text)

    def require(self, record_id: str) -> Model:
        """The record. Raises NotFound, RecordDamaged."""
        record = self.find(record_id)
        if record is None:
            raise NotFound(f"There is no {self._kind} '{record_id[:80]}'.")
        return record

    def update(self, record_id: str, change: Callable[[Model], Model]) -> Model:
        """Replace a record by `change(record)`, again if another writer came between.

        Raises NotFound, RecordDamaged.
        """
        name = keys.record(self._kind, record_id)

        def attempt(pipeline: redis.client.Pipeline) -> Model:
            text = pipeline.get(name)
            if text is None:
                raise NotFound(f"There is no {self._kind} '{record_id[:80]}'.")
            current = self._parse(record_id, text) if self._namespace is None else self._parse_seen(record_id, text)
            if current is None:
                raise NotFound(f"There is no {self._kind} '{record_id[:80]}'.")
            changed = change(current).model_copy(update={"namespace": current.namespace})
            pipeline.multi()
            pipeline.set(name, seal(changed.model_dump_json()))
            return changed

        changed = self._transact(name, attempt)
        self.copy(changed)
        return changed

    def _transact(self, name: str, attempt: Callable[[redis.client.Pipeline], Result]) -> Result:
        # redis-py's annotation forgets that the callable's value is handed back.
        run = cast("Callable[..., Any]", self._client.transaction)
        return cast("Result", run(attempt, name, value_from_callable=True))

    def expire(self, record_id: str, lifetime_seconds: int) -> None:
        """Let a finished record, and what is kept beside it, end by itself."""
        Lifetimes(self._client).begin(self._kind, record_id, lifetime_seconds)

    def delete(self, record_id: str) -> bool:
        """Remove a record, its copy first; False when there was none. Raises FilesUnavailable."""
        self._remove_copy(record_id)
        known = self.find_whole(record_id)
        namespace = DEFAULT_NAMESPACE if known is None else known.namespace
        with self._client.pipeline() as all_at_once:
            for listing in keys.listings(self._kind, namespace):  # another's forgets it when it is read
                all_at_once.zrem(listing, record_id)
            all_at_once.delete(keys.record(self._kind, record_id))
            return bool(all_at_once.execute()[-1])

    def delete_if(self, record_id: str, condition: Callable[[Model], bool]) -> None:
        """Remove a record, if there is one and it is as it should be at that moment, and then its copy."""
        name = keys.record(self._kind, record_id)

        def attempt(pipeline: redis.client.Pipeline) -> bool:
            text = pipeline.get(name)
            pipeline.multi()
            current = None if text is None else self._parse_seen(record_id, text)
            if current is not None and condition(current):
                pipeline.delete(name)
                for listing in keys.listings(self._kind, current.namespace):
                    pipeline.zrem(listing, record_id)
                return True
            return current is None

        if self._transact(name, attempt):
            self._remove_copy(record_id)

    def page(
        self, *, limit: int, after: str | None = None, fits: Callable[[Model], bool] = lambda _: True
    ) -> Page[Model]:
        """Records of which `fits` holds, newest first; `after` is the last id of the page before."""
        found = self._following(limit + 1, after, fits)
        data = found[:limit]
        more = len(found) > limit
        return Page[Model](data=data, has_more=more, next=data[-1].id if more else None)

    def _following(self, count: int, after: str | None, fits: Callable[[Model], bool]) -> list[Model]:
        position = 0
        if after is not None:
            rank = self._client.zrevrank(self._listing, after)
            if rank is None:
                raise NotFound(f"The cursor '{after[:80]}' points at nothing.", hint="Start from the first page.")
            position = int(cast("int", rank)) + 1
        found: list[Model] = []
        while len(found) < count:
            ids = self._client.zrevrange(self._listing, position, position + count - 1)
            if not ids:
                break
            read, gone = self._read(cast("list[bytes]", ids))
            found += filter(fits, read)
            position += len(ids) - gone
        return found[:count]

    def _read(self, ids: list[bytes]) -> tuple[list[Model], int]:
        """Records of ids in order, and how many ids left the listing because their record has ended its life.

        What cannot be read is passed over; reading it by its id says so.
        """
        names = {record_id: record_id.decode(errors="replace") for record_id in ids}
        fit = [record_id for record_id in ids if keys.is_id(names[record_id])]
        texts = self._client.mget([keys.record(self._kind, names[record_id]) for record_id in fit]) if fit else []
        kept = {record_id: text for record_id, text in zip(fit, texts, strict=True) if text is not None}
        gone = [record_id for record_id in ids if record_id not in kept]
        if gone:
            self._client.zrem(self._listing, *gone)
        found = [self._parse_seen(names[record_id], text) for record_id, text in kept.items()]
        return [record for record in found if record is not None], len(gone)

    def _parse_seen(self, record_id: str, text: bytes | str) -> Model | None:
        """A record that can be read and is ours to see, or None."""
        record = self._parse_whole(record_id, text)
        return record if record is not None and self._sees(record) else None

    def _parse(self, record_id: str, text: bytes | str) -> Model:
        try:
            return self.model.model_validate_json(unseal(text))
        except ValueError as error:  # pydantic's, and of bytes that are no text
            if record_id not in self._reported:
                self._reported.add(record_id)
                log.error("a record cannot be read", kind=self._kind, id=record_id[:80], error=str(error)[:200])
            raise RecordDamaged(f"The stored record of {self._kind} '{record_id[:80]}' cannot be read.") from error

    def _parse_whole(self, record_id: str, text: bytes | str) -> Model | None:
        try:
            return self._parse(record_id, text)
        except RecordDamaged:
            return None

    def all(self) -> list[Model]:
        """Every record, newest first. For kinds of which there are few."""
        return list(self.each())

    def each(self) -> Iterator[Model]:
        """Every record, newest first, with some of them in memory at a time."""
        ids = cast("list[bytes]", self._client.zrevrange(self._listing, 0, -1))
        for start in range(0, len(ids), _BATCH):
            yield from self._read(ids[start : start + _BATCH])[0]


class WorkRecords(Records[Made]):
    """The records of one kind of long work.

    `delete_data` removes what a record keeps beside itself, by its `data_id`; `delete_work` what only unfinished work
    needs, by its id.
    """

    def __init__(
        self,
        client: redis.Redis,
        kind: WorkKind[Made],
        delete_data: Callable[[str], None] = lambda _: None,
        delete_work: Callable[[str], None] = lambda _: None,
        *,
        namespace: str | None = None,
        copies: RecordCopies | None = None,
    ) -> None:
        super().__init__(client, kind.name, kind.record, namespace, copies)
        self.kind = kind
        self.delete_data = delete_data
        self.delete_work = delete_work

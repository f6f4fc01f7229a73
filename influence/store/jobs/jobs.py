"""Job records: one hash per job, changed field by field so that many workers can report at once.

`shard:<i>` holds the rows done of shard i. A shard that is computed twice writes the same field twice, so
progress never counts a row double.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import redis
import structlog

from influence.contracts.common import DEFAULT_NAMESPACE, Json, Page, now
from influence.contracts.job import Job
from influence.contracts.work import JobKind
from influence.contracts.work_record import JobState
from influence.errors import NotFound, RecordDamaged
from influence.store import keys
from influence.store.connections import StoreFullError, as_text, is_full
from influence.store.data.told import make_event
from influence.store.ending.lifetimes import JOB, Lifetimes
from influence.store.jobs.attempts import Attempts
from influence.store.jobs.counters import Counters
from influence.store.jobs.progress import (
    FULL,
    MOVED,
    OUTLINE,
    PAUSED,
    moment,
    outline_field,
    phase_fields,
    progress_of,
    sum_shards,
    without_absence,
)

log = structlog.get_logger()

#: KEYS: job hash, events, listing of webhooks. ARGV: states it may leave (comma separated), an event or nothing, then
#: field, value, ... The event is kept in the same step, where there is any webhook. Answers 1 when it changed.
_MOVE = """
local state = redis.call('HGET', KEYS[1], 'state')
if not state or not string.find(',' .. ARGV[1] .. ',', ',' .. state .. ',', 1, true) then return 0 end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if ARGV[2] ~= '' and redis.call('EXISTS', KEYS[3]) == 1 then redis.call('RPUSH', KEYS[2], ARGV[2]) end
return 1
"""
#: Jobs that are read in one round trip where many are wanted.
_BATCH = 100
#: Fields of a job that never change.
_KEPT = {"id", "kind", "resource_id", "resource", "namespace", "created_at"}


class Jobs:
    """Create, watch and move jobs through `queued -> running -> succeeded | failed | cancelled`.

    All jobs, or those of one namespace, where others are as if they were not.
    """

    def __init__(self, client: redis.Redis, namespace: str | None = None) -> None:
        self._client = client
        self._namespace = namespace
        self._listing = keys.listing("job", namespace)
        self._lifetimes = Lifetimes(client)
        self._counters = Counters(client)
        self.attempts = Attempts(client)
        self._move_script = client.register_script(_MOVE)
        #: Jobs that were found damaged: the log says so once.
        self._reported: set[str] = set()

    def create(
        self, job_id: str, kind: JobKind, resource_id: str, resource: str, *, namespace: str = DEFAULT_NAMESPACE
    ) -> Job:
        """Keep a new job, queued, in our namespace where we have one; it is listed from its first moment on."""
        job = Job(
            id=job_id,
            kind=kind,
            resource_id=resource_id,
            resource=resource,
            namespace=self._namespace or namespace,
            created_at=now(),
        )
        fields: dict[Any, Any] = {"record": job.model_dump_json(include=_KEPT), "state": "queued"}
        with self._client.pipeline() as all_at_once:
            all_at_once.hset(keys.job(job_id), mapping=fields)
            for listing in keys.listings("job", job.namespace):
                all_at_once.zadd(listing, {job_id: int(job.created_at.timestamp() * 1000)})
            for still_open in (keys.open_jobs(), keys.open_jobs(job.namespace)):
                all_at_once.sadd(still_open, job_id)
            all_at_once.execute()
        return job

    def find(self, job_id: str) -> Job | None:
        """The job as it stands now, or None. Raises RecordDamaged."""
        job = self._read(job_id, self._client.hgetall(keys.job(job_id)))
        return self._with_note([job])[0]

    def _read(self, job_id: str, found: Mapping[Any, Any]) -> Job | None:
        if b"record" not in found:
            return None
        try:
            job = _job_from({as_text(name): as_text(value) for name, value in found.items()})
        except (ValueError, KeyError, TypeError) as error:
            damaged = self._report(job_id, error)
            if self._namespace is not None:  # nobody knows whose it is
                return None
            raise damaged from error
        return job if self._namespace in (None, job.namespace) else None

    def _with_note(self, jobs: list[Job | None]) -> list[Job | None]:
        """Jobs at work say that they are paused while the server takes no writes; it is asked once for all."""
        if all(job is None or job.is_final or job.progress.note for job in jobs) or not is_full(self._client):
            return jobs
        return [job if job is None or job.is_final else _with_full_note(job) for job in jobs]

    def find_whole(self, job_id: str) -> Job | None:
        """The job, or None where there is none that can be read."""
        try:
            return self.find(job_id)
        except RecordDamaged:
            return None

    def _report(self, job_id: str, error: Exception) -> RecordDamaged:
        if job_id not in self._reported:
            self._reported.add(job_id)
            log.error("a job cannot be read", job_id=job_id[:80], error=str(error)[:200])
            self._lifetimes.begin(JOB, job_id, keys.JOB_SECONDS)  # nobody will end it
        return RecordDamaged(f"The stored record of job '{job_id[:80]}' cannot be read.")

    def require(self, job_id: str) -> Job:
        """The job. Raises NotFound, RecordDamaged."""
        job = self.find(job_id)
        if job is None:
            raise NotFound(f"There is no job '{job_id[:80]}'.")
        return job

    def page(self, *, limit: int, after: str | None = None, fits: Callable[[Job], bool] = lambda _: True) -> Page[Job]:
        """Those of which `fits` holds, newest first; `after` is the last id of the page before.

        Raises NotFound for a cursor that is gone.
        """
        found: list[Job] = []
        ids = self._ids_following(after)
        for start in range(0, len(ids), _BATCH):
            found += filter(fits, self._read_listed(ids[start : start + _BATCH]))
            if len(found) > limit:
                break
        data = [job for job in self._with_note(list(found[:limit])) if job is not None]
        more = len(found) > limit
        return Page[Job](data=data, has_more=more, next=data[-1].id if more else None)

    def _read_listed(self, ids: list[str]) -> list[Job]:
        """Those of the jobs that can be read; the listing forgets those that are gone."""
        pipeline = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hgetall(keys.job(job_id))
        records = dict(zip(ids, pipeline.execute(), strict=True))
        gone = [job_id for job_id, fields in records.items() if not fields]
        if gone:
            self._client.zrem(self._listing, *gone)
        found = []
        for job_id, fields in records.items():
            with suppress(RecordDamaged):
                found.append(self._read(job_id, fields))
        return [job for job in found if job is not None]

    def _ids_following(self, after: str | None) -> list[str]:
        """Ids of all jobs, newest first; jobs live JOB_SECONDS, so that the list stays short."""
        start = 0
        if after is not None:
            rank = self._client.zrevrank(self._listing, after)
            if rank is None:
                raise NotFound(f"The cursor '{after[:80]}' points at nothing.", hint="Start from the first page.")
            start = int(cast("int", rank)) + 1
        ids = cast("list[bytes]", self._client.zrevrange(self._listing, start, -1))
        return [name for job_id in ids if keys.is_id(name := as_text(job_id))]

    def open(self) -> list[Job]:
        """The jobs that are not over."""
        members = sorted(cast("set[bytes]", self._client.smembers(keys.open_jobs(self._namespace))))
        found = {
            member: self.find_whole(as_text(member)) if keys.is_id(as_text(member)) else None for member in members
        }
        over = [member for member, job in found.items() if job is None or job.is_final]
        for member in over:  # who ended it died right then, or it cannot be read
            if keys.is_id(as_text(member)):
                self._lifetimes.begin(JOB, as_text(member), keys.JOB_SECONDS)
                self._close(as_text(member))
            self._client.srem(keys.open_jobs(self._namespace), member)
        return [job for job in found.values() if job is not None and not job.is_final]

    def count_open(self) -> int:
        """How many jobs are not over, of all or of our namespace."""
        return int(self._client.scard(keys.open_jobs(self._namespace)))

    def count_by_state(self, newest: int = 1000) -> Counter[str]:
        """How many of the newest jobs are in each state."""
        ids = cast("list[bytes]", self._client.zrevrange(keys.listing("job"), 0, newest - 1))
        pipeline = self._client.pipeline(transaction=False)
        for name in map(as_text, ids):
            if keys.is_id(name):
                pipeline.hget(keys.job(name), "state")
        return Counter(as_text(state) for state in pipeline.execute() if state is not None)

    def state(self, job_id: str) -> JobState | None:
        """Only the state: cheap enough to ask between micro-batches."""
        state = self._client.hget(keys.job(job_id), "state")
        return None if state is None else cast("JobState", as_text(state))

    def is_cancelled(self, job_id: str) -> bool:
        """Whether work on the job should stop: cancelled, failed elsewhere, or gone altogether."""
        return self.state(job_id) in (None, "cancelled", "failed")

    def start(self, job_id: str) -> bool:
        """queued -> running; also True when it runs already."""
        moved = self._move(job_id, "queued", {"state": "running", "started_at": now().isoformat()})
        if moved:
            self._counters.job_began(job_id)
        return moved or self.state(job_id) == "running"

    def expect(self, job_id: str, seconds: Mapping[str, float | None]) -> None:
        """Say which phases the job goes through, in their order, and how long each should take where that is known."""
        self._client.hset(keys.job(job_id), OUTLINE, outline_field(seconds))

    def set_phase(
        self,
        job_id: str,
        phase: str,
        *,
        total: int,
        unit: str = "rows",
        shown_total: int | None = None,
        in_shards: bool = True,
    ) -> None:
        """Begin a phase of the work; the rate is measured from here.

        `total` counts what `set_done` is told; `shown_total` is what people are shown instead, in units of `unit`. What
        shards report is added up, and what they had reported before does not count for the rate; a phase that comes
        after theirs is not `in_shards`.
        """
        base = sum_shards(self._fields(job_id)) if in_shards else 0
        fields = phase_fields(phase, total=total, unit=unit, shown_total=shown_total, base=base, in_shards=in_shards)
        self._client.hset(keys.job(job_id), mapping=fields)
        self._notify(job_id)

    def _fields(self, job_id: str) -> dict[str, str]:
        found = self._client.hgetall(keys.job(job_id))
        return {as_text(name): as_text(value) for name, value in found.items()}

    def continue_phase(self, job_id: str, phase: str, *, total: int, unit: str = "rows") -> None:
        """Begin a phase of work that is done in turns, unless the turn before had begun it."""
        known = self._client.hget(keys.job(job_id), "phase")
        if known is None or as_text(known) != phase:
            self.set_phase(job_id, phase, total=total, unit=unit)

    def set_done(self, job_id: str, done: int, *, shard: int | None = None) -> None:
        """Report units done, of the whole phase or of one shard."""
        field = "done" if shard is None else f"shard:{shard}"
        self._client.hset(keys.job(job_id), mapping={field: done, MOVED: now().isoformat()})
        self._notify(job_id)

    def leave_out_absence(self) -> None:
        """Nobody was there to work: that time counts for no rate and no ETA. Said by a worker who finds no other."""
        for job in self.open():
            if later := without_absence(self._fields(job.id)):
                self._client.hset(keys.job(job.id), mapping=later)

    def succeed(self, job_id: str) -> bool:
        """running -> succeeded."""
        return self._finish(job_id, "succeeded")

    def fail(self, job_id: str, error: Json, lifetime_seconds: int | None = None) -> bool:
        """queued or running -> failed, with a problem object; it may quote what should not be kept for JOB_SECONDS."""
        lifetime = keys.JOB_SECONDS if lifetime_seconds is None else lifetime_seconds
        return self._finish(job_id, "failed", lifetime, error.get("code"), error=json.dumps(error))

    def pause(self, job_id: str) -> None:
        """Say that the server refused the work's writes for want of memory. It may refuse this one, too."""
        with suppress(StoreFullError):
            self._client.hset(keys.job(job_id), PAUSED, now().isoformat())
        self._notify(job_id)

    def resume(self, job_id: str) -> None:
        """The pause is over."""
        self._client.hdel(keys.job(job_id), PAUSED)
        self._notify(job_id)

    def forget_error(self, job_id: str) -> None:
        """Remove what went wrong from a job's record."""
        self._client.hdel(keys.job(job_id), "error")

    def forget_errors(self, resource_id: str) -> None:
        """Remove what went wrong from all jobs that worked on a resource."""
        ids = self._ids_following(None)
        pipeline = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hget(keys.job(job_id), "record")
        for job_id, record in zip(ids, pipeline.execute(), strict=True):
            if record is not None and resource_id.encode() in record:
                self.forget_error(job_id)

    def cancel(self, job_id: str) -> bool:
        """queued or running -> cancelled; False when the job was final already."""
        return self._finish(job_id, "cancelled")

    def delete(self, job_id: str) -> None:
        """Remove the job's record."""
        namespace = self._namespace_of(job_id)
        with self._client.pipeline() as all_at_once:
            for still_open in (keys.open_jobs(), keys.open_jobs(namespace)):
                all_at_once.srem(still_open, job_id)
            for listing in keys.listings("job", namespace):
                all_at_once.zrem(listing, job_id)
            all_at_once.delete(keys.job(job_id))
            all_at_once.execute()

    def _close(self, job_id: str) -> None:
        """The job is not open any more."""
        for still_open in (keys.open_jobs(), keys.open_jobs(self._namespace_of(job_id))):
            self._client.srem(still_open, job_id)

    def _namespace_of(self, job_id: str) -> str:
        """Of a job by its record, also by one that cannot be read."""
        try:
            return str(json.loads(self._client.hget(keys.job(job_id), "record") or "")["namespace"])
        except (ValueError, TypeError, KeyError):
            return DEFAULT_NAMESPACE

    def _finish(
        self,
        job_id: str,
        state: JobState,
        lifetime_seconds: int = keys.JOB_SECONDS,
        code: str | None = None,
        **fields: str,
    ) -> bool:
        changes = {"state": state, "finished_at": now().isoformat(), **fields}
        moved = self._move(job_id, "queued,running", changes, self._describe(job_id, state, code))
        if moved:
            self._lifetimes.begin(JOB, job_id, lifetime_seconds)
            self._close(job_id)
            self._counters.job_ended(job_id, state, code)
        return moved

    def _describe(self, job_id: str, state: JobState, code: str | None) -> str:
        """The event that a job ended, or nothing of a job that cannot be read."""
        try:
            record = json.loads(cast("bytes | None", self._client.hget(keys.job(job_id), "record")) or b"{}")
            data = {"job_id": job_id, "state": state, "code": code}
            data |= {name: record[name] for name in ("kind", "resource_id", "resource")}
            return make_event(f"job.{state}", data, record["namespace"]).model_dump_json()
        except (ValueError, TypeError, KeyError):
            return ""

    def _move(self, job_id: str, leaves: str, fields: dict[str, str], event: str = "") -> bool:
        pairs = [part for pair in fields.items() for part in pair]
        names = [keys.job(job_id), keys.webhook_events(), keys.listing("webhook")]
        moved = bool(self._move_script(keys=names, args=[leaves, event, *pairs]))
        if moved:
            self._notify(job_id)
        return moved

    def _notify(self, job_id: str) -> None:
        self._client.publish(keys.job_events(job_id), b"1")


def _job_from(fields: dict[str, str]) -> Job:
    record = json.loads(fields["record"])
    return Job(
        **record,
        state=fields["state"],
        progress=progress_of(fields),
        error=json.loads(fields["error"]) if "error" in fields else None,
        started_at=moment(fields.get("started_at")),
        finished_at=moment(fields.get("finished_at")),
    )


def _with_full_note(job: Job) -> Job:
    return job.model_copy(update={"progress": job.progress.model_copy(update={"note": FULL})})

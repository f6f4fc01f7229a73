"""The queue's messages and the functions behind them; one of the two places that may catch everything.

Every actor begins with "is it still wanted?" and may run twice. A DatainfError is the caller's answer and fails the
job; a lost connection goes back to the queue; anything else is tried again and fails the job at the last attempt.
"""

from collections.abc import Callable
from typing import Any

import dramatiq
import structlog
import torch
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage

from influence.errors import Cancelled, DatainfError, Internal, OutOfMemory
from influence.methods.baselines import BASELINES
from influence.store import keys
from influence.store.connections import StoreConnectionError, StoreFullError
from workers.auditing.turn import audit_index
from workers.building.finish import finish_index
from workers.building.plan import plan_index
from workers.building.shard import compute_shard
from workers.runtime import Runtime, ShutdownRequested
from workers.scoring.answer import answer_query
from workers.scoring.baseline import answer_baseline
from workers.scoring.preview import preview_rows

log = structlog.get_logger()

#: Attempts at a message that fails for no reason known to us.
MAX_ATTEMPTS = 3


def register_build_actors(runtime: Runtime, broker: RedisBroker) -> None:
    """Planning, shards and finishing."""

    def run(index_id: str, work: Callable[..., None], **arguments: Any) -> None:
        index = runtime.store.indexes.find(index_id)
        if index is None or not runtime.store.jobs.start(index.job_id):
            return
        with structlog.contextvars.bound_contextvars(job_id=index.job_id, index_id=index_id, **arguments):
            _guard(lambda: work(runtime, index, **arguments), lambda error: _fail_index(runtime, index_id, error))

    def plan(index_id: str) -> None:
        run(index_id, plan_index)

    def shard(index_id: str, shard: int) -> None:
        run(index_id, compute_shard, shard=shard)

    def finish(index_id: str) -> None:
        run(index_id, finish_index)

    _declare(broker, "build", {"plan_index": plan, "compute_shard": shard, "finish_index": finish})


def register_query_actors(runtime: Runtime, broker: RedisBroker) -> None:
    """What a person waits for."""

    def query(query_id: str) -> None:
        found = runtime.store.queries.find(query_id)
        if found is None or not runtime.store.jobs.start(found.job_id):
            return
        answer = answer_baseline if found.request.method in BASELINES else answer_query
        with structlog.contextvars.bound_contextvars(job_id=found.job_id, query_id=query_id):
            _guard(lambda: answer(runtime, found), lambda error: _fail_query(runtime, query_id, error))

    def preview(preview_id: str) -> None:
        found = runtime.store.previews.find(preview_id)
        if found is None or not runtime.store.jobs.start(found.job_id):
            return
        with structlog.contextvars.bound_contextvars(job_id=found.job_id, preview_id=preview_id):
            _guard(lambda: preview_rows(runtime, found), lambda error: _fail_preview(runtime, preview_id, error))

    def audit(audit_id: str) -> None:
        found = runtime.store.audits.find(audit_id)
        if found is None or not runtime.store.jobs.start(found.job_id):
            return
        with structlog.contextvars.bound_contextvars(job_id=found.job_id, audit_id=audit_id):
            _guard(lambda: audit_index(runtime, found), lambda error: _fail_audit(runtime, audit_id, error))

    _declare(broker, "query", {"answer_query": query, "preview_rows": preview, "audit_index": audit})


def _declare(broker: RedisBroker, queue: str, functions: dict[str, Callable[..., None]]) -> None:
    for name, function in functions.items():
        dramatiq.actor(actor_name=name, queue_name=queue, broker=broker)(function)


def _guard(work: Callable[[], None], fail: Callable[[DatainfError], None]) -> None:
    try:
        work()
    except Cancelled:
        log.info("work stopped: its job was cancelled")
    except DatainfError as error:
        log.warning("work refused", code=error.code, detail=error.detail)
        fail(error)
    except torch.OutOfMemoryError as error:
        fail(OutOfMemory(str(error).splitlines()[0]))
    except (*StoreConnectionError, StoreFullError):
        raise
    except ShutdownRequested as error:
        raise InterruptedError("the worker is ending; the message goes back to the queue") from error
    except Exception:
        log.exception("work failed", attempt=_attempt())
        if _attempt() < MAX_ATTEMPTS:
            raise
        fail(Internal("The worker met an error that it does not know.", hint="See the worker's log for this job."))


def _attempt() -> int:
    message = CurrentMessage.get_current_message()
    return 1 if message is None else 1 + int(message.options.get("retries", 0))


def _fail_index(runtime: Runtime, index_id: str, error: DatainfError) -> None:
    problem = error.problem()
    failed = {"state": "failed", "error": problem}
    index = runtime.store.indexes.update(index_id, lambda index: index.model_copy(update=failed))
    runtime.store.jobs.fail(index.job_id, problem)


def _fail_query(runtime: Runtime, query_id: str, error: DatainfError) -> None:
    problem = error.problem()
    failed = {"state": "failed", "error": problem}
    query = runtime.store.queries.update(query_id, lambda query: query.model_copy(update=failed))
    runtime.store.queries.expire(query_id, keys.QUERY_SECONDS)
    runtime.store.jobs.fail(query.job_id, problem)


def _fail_preview(runtime: Runtime, preview_id: str, error: DatainfError) -> None:
    problem = error.problem()
    failed = {"state": "failed", "error": problem}
    preview = runtime.store.previews.update(preview_id, lambda preview: preview.model_copy(update=failed))
    runtime.store.previews.expire(preview_id, keys.QUERY_SECONDS)
    runtime.store.jobs.fail(preview.job_id, problem)


def _fail_audit(runtime: Runtime, audit_id: str, error: DatainfError) -> None:
    problem = error.problem()
    failed = {"state": "failed", "error": problem}
    runtime.store.audit_data.delete(audit_id)
    if runtime.store.audits.find(audit_id) is None:  # deleted meanwhile
        return
    audit = runtime.store.audits.update(audit_id, lambda audit: audit.model_copy(update=failed))
    runtime.store.audits.expire(audit_id, keys.QUERY_SECONDS)
    runtime.store.jobs.fail(audit.job_id, problem)

"""The queue's messages and the functions behind them; one of the two places that may catch everything.

Every actor begins with "is it still wanted?" and may run twice. A DatainfError is the caller's answer and fails the
job; a lost connection goes back to the queue; a lost device, too, and ends the process, for nothing can be computed in
it any more; anything else is tried again and fails the job at the last attempt.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import dramatiq
import structlog
import torch
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage

from influence.contracts.audit import Audit
from influence.contracts.common import now
from influence.contracts.evaluation import Evaluation
from influence.contracts.index import Index
from influence.contracts.preview import Preview
from influence.contracts.query import Query
from influence.contracts.sweep import Sweep
from influence.errors import Cancelled, DatainfError, DeviceLost, Internal, OutOfMemory
from influence.methods.baselines import BASELINES
from influence.store import keys
from influence.store.connections import StoreConnectionError, StoreFullError
from influence.store.records import Records
from workers.auditing.turn import audit_index
from workers.baselines.answer import answer_baseline
from workers.building.finish import finish_index
from workers.building.plan import plan_index
from workers.building.shard import compute_shard
from workers.evaluating.base import EvaluationKind
from workers.evaluating.job import evaluate_piece, finish_evaluation, plan_evaluation
from workers.evaluating.registry import find_kind
from workers.evaluating.sweep import sweep_dampings
from workers.queries.answer import answer_query
from workers.queries.preview import preview_rows
from workers.runtime.interrupts import ShutdownRequested
from workers.runtime.state import Runtime

log = structlog.get_logger()

Work = TypeVar("Work", Index, Query, Preview, Sweep, Audit, Evaluation)

#: Attempts at a message that fails for no reason known to us.
MAX_ATTEMPTS = 3


def register_build_actors(runtime: Runtime, broker: RedisBroker) -> None:
    """Planning, shards and finishing."""

    def run(index_id: str, work: Callable[..., None], **arguments: Any) -> None:
        _work_on(runtime, "index", runtime.store.indexes, index_id, work, _fail, **arguments)

    def plan(index_id: str) -> None:
        run(index_id, plan_index)

    def shard(index_id: str, shard: int) -> None:
        run(index_id, compute_shard, shard=shard)

    def finish(index_id: str) -> None:
        run(index_id, finish_index)

    _declare(broker, "build", {"plan_index": plan, "compute_shard": shard, "finish_index": finish})


def register_evaluation_actors(runtime: Runtime, broker: RedisBroker, kinds: Mapping[str, EvaluationKind]) -> None:
    """Experiments: each step takes its turn with the builds, and queries wait for neither."""

    def run(evaluation_id: str, step: Callable[..., None], **arguments: Any) -> None:
        def work(runtime: Runtime, found: Evaluation, **arguments: Any) -> None:
            step(runtime, found, find_kind(kinds, found.request.kind), **arguments)

        _work_on(runtime, "evaluation", runtime.store.evaluations, evaluation_id, work, _fail_evaluation, **arguments)

    def plan(evaluation_id: str) -> None:
        run(evaluation_id, plan_evaluation)

    def compute(evaluation_id: str, piece: int) -> None:
        run(evaluation_id, evaluate_piece, piece=piece)

    def finish(evaluation_id: str) -> None:
        run(evaluation_id, finish_evaluation)

    _declare(broker, "build", {"plan_evaluation": plan, "evaluate_piece": compute, "finish_evaluation": finish})


def register_query_actors(runtime: Runtime, broker: RedisBroker) -> None:
    """What a person waits for."""
    store = runtime.store

    def query(query_id: str) -> None:
        _work_on(runtime, "query", store.queries, query_id, _answer, _fail_answer)

    def preview(preview_id: str) -> None:
        _work_on(runtime, "preview", store.previews, preview_id, preview_rows, _fail_answer)

    def sweep(sweep_id: str) -> None:
        _work_on(runtime, "sweep", store.sweeps, sweep_id, sweep_dampings, _fail_answer)

    def audit(audit_id: str) -> None:
        _work_on(runtime, "audit", store.audits, audit_id, audit_index, _fail_audit)

    actors = {"answer_query": query, "preview_rows": preview, "sweep_dampings": sweep, "audit_index": audit}
    _declare(broker, "query", actors)


def _answer(runtime: Runtime, query: Query) -> None:
    answer = answer_baseline if query.request.method in BASELINES else answer_query
    answer(runtime, query)


def _work_on(
    runtime: Runtime,
    kind: str,
    records: Records[Work],
    record_id: str,
    work: Callable[..., None],
    fail: Callable[[Runtime, Records[Work], str, DatainfError], None],
    **arguments: Any,
) -> None:
    """Call `work(runtime, record, **arguments)` if it is still wanted, and `fail` with the caller's answer if it fails.

    Its log lines name the record, by its kind, and the job.
    """
    found = records.find(record_id)
    if found is None or not runtime.store.jobs.start(found.job_id):
        return
    names = {"job_id": found.job_id, f"{kind}_id": record_id, **arguments}
    with structlog.contextvars.bound_contextvars(**names):
        _guard(
            runtime,
            lambda: work(runtime, found, **arguments),
            lambda error: fail(runtime, records, record_id, error),
        )


def _declare(broker: RedisBroker, queue: str, functions: dict[str, Callable[..., None]]) -> None:
    for name, function in functions.items():
        dramatiq.actor(actor_name=name, queue_name=queue, broker=broker)(function)


def _guard(runtime: Runtime, work: Callable[[], None], fail: Callable[[DatainfError], None]) -> None:
    try:
        work()
    except Cancelled:
        log.info("work stopped: its job was cancelled")
    except (DeviceLost, torch.AcceleratorError) as error:
        _end_process(runtime, error, fail)
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


def _end_process(runtime: Runtime, error: Exception, fail: Callable[[DatainfError], None]) -> None:
    """Give the message back, for another process or this one's successor, and ask this process to end."""
    cause = str(error).splitlines()[0]
    lost = error if isinstance(error, DeviceLost) else DeviceLost(f"{runtime.device} stopped answering: {cause}.")
    log.error("the device is lost; this process ends", detail=lost.detail, attempt=_attempt())
    runtime.stopping.set()
    if _attempt() < MAX_ATTEMPTS:
        raise lost
    fail(lost)


def _attempt() -> int:
    message = CurrentMessage.get_current_message()
    return 1 if message is None else 1 + int(message.options.get("retries", 0))


def _fail_evaluation(runtime: Runtime, records: Records[Evaluation], evaluation_id: str, error: DatainfError) -> None:
    _fail(runtime, records, evaluation_id, error, finished_at=now())
    runtime.store.evaluation_data.delete(evaluation_id)


def _fail_answer(runtime: Runtime, records: Records[Work], record_id: str, error: DatainfError) -> None:
    records.expire(record_id, keys.QUERY_SECONDS)
    _fail(runtime, records, record_id, error)


def _fail_audit(runtime: Runtime, records: Records[Audit], audit_id: str, error: DatainfError) -> None:
    runtime.store.audit_data.delete(audit_id)
    if records.find(audit_id) is not None:  # not deleted meanwhile
        _fail_answer(runtime, records, audit_id, error)


def _fail(runtime: Runtime, records: Records[Work], record_id: str, error: DatainfError, **changes: Any) -> None:
    """Write the problem into the record first: a job that is over promises that its record says how it went."""
    failed = {"state": "failed", "error": error.problem(), **changes}
    record = records.update(record_id, lambda found: found.model_copy(update=failed))
    runtime.store.jobs.fail(record.job_id, error.problem())

"""The queue's messages and the functions behind them; one of the two places that may catch everything.

Every actor begins with "is it still wanted?" and may run twice. A DatainfError is the caller's answer and fails the
job. What the store refuses goes back to the queue, however often, and so does what waits for an object store that does
not answer, and work on a lost device, which ends the process, for nothing can be computed in it any more. Anything else
is tried again and fails the job at the last attempt.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import dramatiq
import structlog
import torch
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage

from influence.contracts.evaluation.record import Evaluation
from influence.contracts.query import Query
from influence.contracts.work import WORK_KINDS, QueueName, WorkKind
from influence.contracts.work_record import WorkRecord
from influence.errors import Cancelled, DatainfError, DeviceLost, FilesUnavailable, Internal, OutOfMemory
from influence.methods.baselines import BASELINES
from influence.process.tracing import continue_trace
from influence.store.connections import StoreError
from influence.store.data.scans import PART_ACTOR, PARTS_ACTOR, PartWork
from influence.store.queue import TRACE
from influence.store.work import close, drop_unwanted, fail
from workers.auditing.turn import audit_index
from workers.baselines.answer import answer_baseline
from workers.baselines.beside import answer_beside
from workers.building.finish import finish_index
from workers.building.plan import plan_index
from workers.building.shard import compute_shard
from workers.evaluating.base import EvaluationKind
from workers.evaluating.job import evaluate_piece, finish_evaluation, plan_evaluation
from workers.evaluating.registry import find_kind
from workers.evaluating.sweep import sweep_dampings
from workers.indexes.partitions.part import OpenedPass, open_pass
from workers.process.threads import yield_to_others
from workers.queries.answer import answer_query
from workers.queries.groups import group_rows
from workers.queries.preview import preview_rows
from workers.runtime.interrupts import ShutdownRequested, check_stopping, check_wanted, is_wanted
from workers.runtime.state import Runtime

log = structlog.get_logger()

#: `step(runtime, record, **arguments)`; the arguments are the message's beside the record's id.
Step = Callable[..., None]

#: Attempts at a message that fails for no reason known to us.
MAX_ATTEMPTS = 3


def make_steps(kinds: Mapping[str, EvaluationKind]) -> dict[str, Step]:
    """The function behind each actor of all kinds of work; `kinds` are those of evaluations."""
    return {
        "plan_index": plan_index,
        "compute_shard": compute_shard,
        "finish_index": finish_index,
        "plan_evaluation": _for_its_kind(kinds, plan_evaluation),
        "evaluate_piece": _for_its_kind(kinds, evaluate_piece),
        "finish_evaluation": _for_its_kind(kinds, finish_evaluation),
        "answer_query": _answer,
        "preview_rows": _in_turn(preview_rows),
        "sweep_dampings": _in_turn(sweep_dampings),
        "audit_index": _in_turn(audit_index),
        "group_rows": _in_turn(group_rows),
    }


def _for_its_kind(kinds: Mapping[str, EvaluationKind], step: Step) -> Step:
    def work(runtime: Runtime, evaluation: Evaluation, **arguments: Any) -> None:
        step(runtime, evaluation, find_kind(kinds, evaluation.request.kind), **arguments)

    return work


def _answer(runtime: Runtime, query: Query) -> None:
    if query.request.method in BASELINES:
        _in_turn(answer_baseline)(runtime, query)
    else:
        (answer_beside if query.request.compare else answer_query)(runtime, query)


def _in_turn(step: Step) -> Step:
    """The step, with as many at once as large work of the query queue may be."""

    def work(runtime: Runtime, record: WorkRecord, **arguments: Any) -> None:
        with runtime.turns.take(partial(check_wanted, runtime, record.job_id)):
            step(runtime, record, **arguments)

    return work


def register_actors(runtime: Runtime, broker: RedisBroker, queue: QueueName, steps: Mapping[str, Step]) -> None:
    """Declare the actors of one queue."""
    for kind in WORK_KINDS:
        for actor in kind.actors if kind.queue == queue else ():
            work = partial(_work_behind if queue == "build" else work_on, runtime, kind, steps[actor])
            dramatiq.actor(actor_name=actor, queue_name=queue, broker=broker)(work)


def register_parts(runtime: Runtime, broker: RedisBroker, at_once: int) -> None:
    """Declare the actors of a worker's own queue: parts of passes, for others who wait for them, so many at once."""
    (queue,) = broker.get_declared_queues()
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="parts")

    def work_on_parts(works: Sequence[Mapping[str, Any]]) -> None:
        _work_on_parts(runtime, pool, [PartWork.model_validate(work) for work in works])

    def work_on_part(**work: Any) -> None:
        work_on_parts([work])

    dramatiq.actor(actor_name=PARTS_ACTOR, queue_name=queue, broker=broker)(work_on_parts)
    dramatiq.actor(actor_name=PART_ACTOR, queue_name=queue, broker=broker)(work_on_part)


def _work_on_parts(runtime: Runtime, pool: ThreadPoolExecutor, works: Sequence[PartWork]) -> None:
    """Compute parts of one pass. A part's problem is told to the one who waits for it, whose job it is; what has to be
    tried again is raised when all others are done, which are then done for good."""
    attempt = _attempt()

    def open_once() -> None:
        opened.append(open_pass(runtime, works[0]))

    def compute(work: PartWork) -> None:
        _guard_part(runtime, [work], lambda: opened[0].compute(work), attempt)

    opened: list[OpenedPass] = []
    _guard_part(runtime, works, open_once, attempt)
    if opened:
        done, _ = wait([pool.submit(compute, work) for work in works])
        for one in done:
            one.result()


def _guard_part(runtime: Runtime, works: Sequence[PartWork], step: Callable[[], None], attempt: int) -> None:
    try:
        check_stopping(runtime)
        step()
    except (DeviceLost, torch.AcceleratorError):
        runtime.stopping.set()
        raise
    except FilesUnavailable:
        raise
    except DatainfError as error:
        _refuse(runtime, works, error)
    except StoreError:
        raise
    except ShutdownRequested as error:
        raise InterruptedError("the worker is ending; others are asked for the part") from error
    except Exception:
        log.exception("a part of a pass failed", attempt=attempt)
        if attempt < MAX_ATTEMPTS:
            raise
        _refuse(runtime, works, Internal("A worker hit an unexpected error.", hint="See the workers' logs."))


def _refuse(runtime: Runtime, works: Sequence[PartWork], error: DatainfError) -> None:
    for work in works:
        runtime.store.scans.refuse(work.scan_id, work.part, error.problem())


def _work_behind(runtime: Runtime, kind: WorkKind[Any], step: Step, **arguments: Any) -> None:
    """Take a step by a thread that does nothing else than what may take long: queries, the API and Redis go first."""
    yield_to_others()
    runtime.device_lock.give_way()
    work_on(runtime, kind, step, **arguments)


def work_on(runtime: Runtime, kind: WorkKind[Any], step: Step, **arguments: Any) -> None:
    """Take a step if it is still wanted. Its log lines name the record, by its kind, and the job."""
    store, record_id, job_id = runtime.store, arguments.pop(kind.argument), arguments.pop("job_id", None)
    record = store.work[kind.name].find_whole(record_id)  # the job of one that cannot be read is ended by housekeeping
    if record is None or record.job_id != job_id or not store.jobs.start(job_id):
        return  # deleted, begun anew by another job, or over
    if record.is_final:  # a worker died between writing the record and ending the job
        close(store, record)
        return
    names = {"job_id": job_id, kind.argument: record_id, **arguments}
    with structlog.contextvars.bound_contextvars(**names), _traced(names):
        _guard(runtime, record, lambda: step(runtime, record, **arguments))


def _traced(names: Mapping[str, Any]) -> AbstractContextManager[None]:
    """A span of the trace that the message in hand was sent in."""
    message = CurrentMessage.get_current_message()
    if message is None:
        return nullcontext()
    about = {f"datainf.{name}": str(value) for name, value in names.items()}
    return continue_trace(message.options.get(TRACE), message.actor_name, about)


def _guard(runtime: Runtime, record: WorkRecord, work: Callable[[], None]) -> None:
    try:
        work()
    except Cancelled:
        log.info("work stopped: its job is over")
        drop_unwanted(runtime.store, record)
    except (DeviceLost, torch.AcceleratorError) as error:
        _end_process(runtime, record, error)
    except FilesUnavailable:
        raise
    except DatainfError as error:
        log.warning("work refused", code=error.code, detail=error.detail)
        _fail(runtime, record, error)
    except torch.OutOfMemoryError as error:
        _fail(runtime, record, OutOfMemory(str(error).splitlines()[0]))
    except StoreError:
        raise
    except ShutdownRequested as error:
        if not is_wanted(runtime, record.job_id):  # whoever takes the message next finds no record to clear up after
            drop_unwanted(runtime.store, record)
        raise InterruptedError("the worker is ending; the message goes back to the queue") from error
    except Exception:
        log.exception("work failed", attempt=_attempt())
        if _attempt() < MAX_ATTEMPTS:
            raise
        unknown = Internal("The worker hit an unexpected error.", hint="See the worker's log for this job.")
        _fail(runtime, record, unknown)


def _end_process(runtime: Runtime, record: WorkRecord, error: Exception) -> None:
    """Give the message back, for another process or this one's successor, and ask this process to end."""
    cause = str(error).splitlines()[0]
    lost = error if isinstance(error, DeviceLost) else DeviceLost(f"{runtime.device} stopped answering: {cause}.")
    log.error("the device is lost; this process ends", detail=lost.detail, attempt=_attempt())
    runtime.stopping.set()
    if _attempt() < MAX_ATTEMPTS:
        raise lost
    _fail(runtime, record, lost)


def _fail(runtime: Runtime, record: WorkRecord, error: DatainfError) -> None:
    fail(runtime.store, record, error.problem())


def _attempt() -> int:
    message = CurrentMessage.get_current_message()
    return 1 if message is None else 1 + int(message.options.get("retries", 0))

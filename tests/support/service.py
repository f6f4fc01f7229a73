"""A worker in this process, and records as the API would make them."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig

from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.common import now
from influence.contracts.dataset import Dataset, RowKind
from influence.contracts.index import GradientSettings, Index, IndexSpec
from influence.contracts.query import Query, QueryRequest, SummedCheckpoint
from influence.contracts.sweep import Sweep, SweepRequest
from influence.contracts.tasks import TaskName
from influence.contracts.work import INDEX, QUERY, SWEEP
from influence.digests import digest_json, new_id
from influence.rows.file import write_rows
from influence.store import keys
from influence.store.data.files import Files
from influence.store.store import Store
from influence.store.work import accept, keep, send
from support.tiny import LABELS, TinyCheckpoint
from workers.evaluating.base import EvaluationKind
from workers.evaluating.registry import KINDS
from workers.process.pace import Pace
from workers.process.worker import WorkerProcess, make_runtime
from workers.runtime.state import Runtime
from workers.settings import WorkerSettings

#: The thread that a worker process starts last.
_LAST_TO_START = "webhooks"
#: Hundreds of tests start a worker, wait for its first messages and for its end: no thread of it may write into the
#: next test's store, however busy the machine.
QUICK = Pace(
    query_poll_ms=40,
    build_poll_ms=40,
    delayed_poll_ms=100,
    idle_seconds=0.05,
    hear_seconds=0.05,
    stop_ms=300_000,
    help_seconds=300.0,
)
_CONFIG_FIELDS = ("peft_type", "task_type", "r", "lora_alpha", "target_modules", "modules_to_save")


@contextmanager
def idle_runtime(url: str, data_dir: Path, **settings: Any) -> Iterator[Runtime]:
    """What a worker works with, without a worker that takes messages.

    Its batches have a size of their own: one that is found by timing batches differs when the machine is busy.
    """
    settings.setdefault("token_budget", 1024)
    chosen = WorkerSettings(redis_url=url, data_dir=data_dir, device="cpu", cpu_threads=1, hub_offline=True, **settings)
    runtime = make_runtime(chosen, f"test-{new_id('w')}", torch.device("cpu"))
    try:
        yield runtime
    finally:
        runtime.store.close()


@contextmanager
def running_worker(
    url: str, data_dir: Path, *, kinds: Mapping[str, EvaluationKind] = KINDS, **settings: Any
) -> Iterator[Runtime]:
    """A real worker process's inside, on threads of this one, until the block ends.

    It has started when the block begins: pytest goes through all loggers between the phases of a test, and threads that
    start make new ones.
    """
    with idle_runtime(url, data_dir, **settings) as runtime:
        others = set(threading.enumerate())
        thread = threading.Thread(target=WorkerProcess(runtime, kinds=kinds, pace=QUICK).run)
        thread.start()
        try:
            while thread.is_alive() and not any(
                one.name == _LAST_TO_START for one in {*threading.enumerate()} - others
            ):
                time.sleep(0.002)
            yield runtime
        finally:
            runtime.stopping.set()
            thread.join()


def add_checkpoint(store: Store, files: Files, tiny: TinyCheckpoint, task: TaskName) -> Checkpoint:
    """Accept a tiny checkpoint."""
    config = PeftConfig.from_pretrained(tiny.adapter).to_dict()
    fields = {name: sorted(v) if isinstance(v := config[name], set) else v for name in _CONFIG_FIELDS}
    digest = digest_json([str(tiny.adapter), task])
    target = files.adapter(digest)
    target.mkdir(parents=True, exist_ok=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (target / name).write_bytes((tiny.adapter / name).read_bytes())
    is_classifier = task == "sequence_classification"
    checkpoint = Checkpoint(
        id=f"ckpt_{digest}",
        base_model=BaseModelRef(name="tiny", kind="path", location=str(tiny.base)),
        task=task,
        adapter=fields,
        adapter_digest=digest,
        label_names=LABELS if is_classifier else None,
        num_labels=len(LABELS) if is_classifier else None,
        parameters=1,
        tensors=1,
        created_at=now(),
    )
    store.checkpoints.create(checkpoint)
    return checkpoint


def add_dataset(store: Store, files: Files, rows: Sequence[dict[str, Any]], kind: RowKind) -> Dataset:
    """Accept normalised rows."""
    dataset_id = f"ds_{digest_json(list(rows))}"
    if not files.dataset(dataset_id).exists():
        write_rows(files.dataset(dataset_id), rows)
    dataset = Dataset(id=dataset_id, kind=kind, columns={}, rows=len(rows), bytes=1, statistics={}, created_at=now())
    store.datasets.create(dataset)
    return dataset


def submit_index(store: Store, checkpoint: Checkpoint, dataset: Dataset, **fields: Any) -> Index:
    """Ask for an index, as `POST /v1/indexes` does."""
    gradients = GradientSettings(**fields.pop("gradients", {"max_length": 64}))
    spec = IndexSpec(checkpoint_id=checkpoint.id, dataset_id=dataset.id, gradients=gradients, **fields)
    index_id = f"idx_{digest_json(spec.model_dump(mode='json'))}"
    return accept(store, Index(**INDEX.begin(index_id), spec=spec, rows=dataset.rows))


def reopen_index(store: Store, index_id: str, **changes: Any) -> Index:
    """An index as a worker leaves it that died before the build's end: changed, with its job running."""
    unfinished = {"state": "running", "ready_at": None, **changes}
    index = store.indexes.update(index_id, lambda found: found.model_copy(update=unfinished))
    store.connections.state.hset(keys.job(index.job_id), "state", "running")
    return index


def submit_query(
    store: Store,
    index_id: str,
    summed: Sequence[tuple[Index, float]] = (),
    *,
    notes: tuple[str, ...] = (),
    **fields: Any,
) -> Query:
    """Ask a query, as `POST /v1/indexes/{id}/queries` does; `summed` are indexes with weights, the asked one first."""
    request = QueryRequest(**fields)
    checkpoints = [
        SummedCheckpoint(index_id=index.id, checkpoint_id=index.spec.checkpoint_id, weight=weight)
        for index, weight in summed
    ]
    query = Query(
        **QUERY.begin(),
        index_id=index_id,
        request=request,
        method=request.method,
        checkpoints=tuple(checkpoints) or None,
        notes=notes,
    )
    return accept(store, query)


def submit_sweep(
    store: Store,
    index_id: str,
    method: str,
    scales: tuple[float, ...],
    *,
    default: float,
    cancelled: bool = False,
    evaluation_id: str | None = None,
    **source: Any,
) -> Sweep:
    """Ask for a sweep, as `POST /v1/indexes/{id}/sweeps` does; `cancelled` before it is on the queue."""
    sweep = Sweep(
        **SWEEP.begin(),
        index_id=index_id,
        request=SweepRequest(**source),
        method=method,
        damping_scales=scales,
        default_damping_scale=default,
        storage="full",
        evaluation_id=evaluation_id,
    )
    keep(store, sweep)
    if cancelled:
        store.jobs.cancel(sweep.job_id)
    send(store, sweep)
    return sweep

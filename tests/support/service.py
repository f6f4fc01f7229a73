"""A worker in this process, and records as the API would make them."""

import threading
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
from influence.digests import digest_json, new_id
from influence.rows.file import write_rows
from influence.store.data.files import Files
from influence.store.store import Store
from support.tiny import LABELS, TinyCheckpoint
from workers.evaluating.base import EvaluationKind
from workers.evaluating.registry import KINDS
from workers.process.worker import WorkerProcess, make_runtime
from workers.runtime.state import Runtime
from workers.settings import WorkerSettings

_CONFIG_FIELDS = ("peft_type", "task_type", "r", "lora_alpha", "target_modules", "modules_to_save")


@contextmanager
def idle_runtime(url: str, data_dir: Path, **settings: Any) -> Iterator[Runtime]:
    """What a worker works with, without a worker that takes messages.

    Its batches have a size of their own: one that is found by timing batches differs when the machine is busy.
    """
    settings.setdefault("token_budget", 1024)
    chosen = WorkerSettings(redis_url=url, data_dir=data_dir, device="cpu", cpu_threads=1, hub_offline=True, **settings)
    runtime = make_runtime(chosen, f"test-{new_id('w')}", torch.device("cpu"))
    yield runtime
    runtime.store.connections.close()


@contextmanager
def running_worker(
    url: str, data_dir: Path, *, kinds: Mapping[str, EvaluationKind] = KINDS, **settings: Any
) -> Iterator[Runtime]:
    """A real worker process's inside, on threads of this one, until the block ends."""
    with idle_runtime(url, data_dir, **settings) as runtime:
        thread = threading.Thread(target=WorkerProcess(runtime, kinds=kinds).run)
        thread.start()
        try:
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
    index_id, job_id = f"idx_{digest_json(spec.model_dump(mode='json'))}", new_id("job")
    index = Index(id=index_id, job_id=job_id, state="queued", spec=spec, rows=dataset.rows, created_at=now())
    store.indexes.create(index)
    store.jobs.create(job_id, "index", index_id, f"/v1/indexes/{index_id}")
    store.queue.submit("plan_index", index_id=index_id)
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
        id=new_id("qry"),
        index_id=index_id,
        job_id=new_id("job"),
        state="queued",
        request=request,
        method=request.method,
        checkpoints=tuple(checkpoints) or None,
        notes=notes,
        created_at=now(),
    )
    store.queries.create(query)
    store.jobs.create(query.job_id, "query", query.id, f"/v1/queries/{query.id}")
    store.queue.submit("answer_query", query_id=query.id)
    return query


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
        id=new_id("swp"),
        index_id=index_id,
        job_id=new_id("job"),
        state="queued",
        request=SweepRequest(**source),
        method=method,
        damping_scales=scales,
        default_damping_scale=default,
        storage="full",
        evaluation_id=evaluation_id,
        created_at=now(),
    )
    store.sweeps.create(sweep)
    store.jobs.create(sweep.job_id, "sweep", sweep.id, f"/v1/sweeps/{sweep.id}")
    if cancelled:
        store.jobs.cancel(sweep.job_id)
    store.queue.submit("sweep_dampings", sweep_id=sweep.id)
    return sweep

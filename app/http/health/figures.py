"""Figures of the store for Prometheus, read when asked for: every API process tells the same.

No label grows without bound: names of indexes and workers are those of a few, and the rest is told as one.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.http.health.index_figures import describe_builds, describe_sizes
from influence.contracts.work import QUEUES
from influence.contracts.work_record import FINAL_STATES
from influence.store.connections import memory_bytes
from influence.store.store import Store

_STATES = ("queued", "running", *sorted(FINAL_STATES))
#: Workers that are told of by name.
MOST_WORKERS = 100
_BY_KIND = ("kind",)
_BY_END = ("kind", "state", "code")


class StoreCollector(Collector):
    """Queues, jobs, builds, indexes, workers and memory, as the store has them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        yield from _describe_queues(self._store)
        yield from _describe_jobs(self._store)
        yield from describe_builds(self._store)
        yield from describe_sizes(self._store)
        yield from _describe_workers(self._store.workers.alive())
        used, most = memory_bytes(self._store.connections.state)
        yield GaugeMetricFamily("datainf_redis_used_bytes", "What the state server holds", value=used)
        yield GaugeMetricFamily("datainf_redis_max_bytes", "The most that it may hold; 0 for no bound", value=most)

    def describe(self) -> Iterator[Metric]:
        """Nothing: so that registering does not read the store."""
        return iter(())


def _describe_queues(store: Store) -> Iterator[Metric]:
    depths = GaugeMetricFamily("datainf_queue_depth", "Messages waiting or worked on", labels=["queue"])
    ages = GaugeMetricFamily(
        "datainf_queue_oldest_seconds", "For how long the oldest message has waited for a worker", labels=["queue"]
    )
    for queue in QUEUES:
        depths.add_metric([queue], store.queue.depth(queue))
        ages.add_metric([queue], store.queue.oldest_seconds(queue))
    yield from (depths, ages)


def _describe_jobs(store: Store) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("datainf_jobs", "Jobs among the newest 1000 by state", labels=["state"])
    counts = store.jobs.count_by_state()
    for state in _STATES:
        jobs.add_metric([state], counts[state])
    yield jobs
    families: dict[str, Metric] = {
        "began": CounterMetricFamily("datainf_jobs_began", "Jobs that left the queue", labels=_BY_KIND),
        "ended": CounterMetricFamily("datainf_jobs_ended", "Jobs that are over; 'code' is of failures", labels=_BY_END),
        "last_began": GaugeMetricFamily(
            "datainf_job_last_began_timestamp_seconds", "When a job last left the queue", labels=_BY_KIND
        ),
        "last_ended": GaugeMetricFamily(
            "datainf_job_last_ended_timestamp_seconds", "When a job was last over", labels=("kind", "state")
        ),
        "rows": CounterMetricFamily("datainf_index_rows", "Rows of indexes that were computed and kept", labels=()),
    }
    for count in store.counters.read():
        family: Any = families.get(count.name)
        if family is not None and len(count.labels) == len(family._labelnames):
            family.add_metric(list(count.labels), count.value)
    yield from families.values()


def _describe_workers(workers: Iterable[dict[str, Any]]) -> Iterator[Metric]:
    alive = list(workers)
    yield GaugeMetricFamily("datainf_workers", "Workers running", value=len(alive))
    named = sorted(alive, key=lambda worker: str(worker.get("name")))[:MOST_WORKERS]
    about = GaugeMetricFamily("datainf_worker", "1 for each worker running", labels=["worker", "host", "device"])
    for worker in named:
        about.add_metric([_text(worker, "name"), _text(worker, "host"), _text(worker, "device")], 1)
    yield about
    yield _by_worker(named, "datainf_worker_busy_threads", "Messages that it works on now", "in_hand")
    yield _by_worker(named, "datainf_worker_memory_bytes", "Memory of its process", "memory_bytes")
    yield _by_worker(named, "datainf_worker_hot_index_bytes", "Indexes that it holds in memory", "hot_index_bytes")


def _by_worker(workers: list[dict[str, Any]], name: str, about: str, field: str) -> Metric:
    family = GaugeMetricFamily(name, about, labels=["worker"])
    for worker in workers:
        if isinstance(worker.get(field), int | float):
            family.add_metric([_text(worker, "name")], worker[field])
    return family


def _text(worker: dict[str, Any], field: str) -> str:
    return str(worker.get(field, ""))[:200]

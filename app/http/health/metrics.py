"""Prometheus metrics of one application, in a registry of its own."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from influence.contracts.work import QUEUES
from influence.contracts.work_record import FINAL_STATES
from influence.store.store import Store

_STATES = ("queued", "running", *sorted(FINAL_STATES))
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class StoreCollector(Collector):
    """Queue depths, jobs and workers, read from the store when asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        depths = GaugeMetricFamily("datainf_queue_depth", "Messages waiting or worked on", labels=["queue"])
        for queue in QUEUES:
            depths.add_metric([queue], self._store.queue.depth(queue))
        yield depths
        jobs = GaugeMetricFamily("datainf_jobs", "Jobs among the newest 1000 by state", labels=["state"])
        counts = self._store.jobs.count_by_state()
        for state in _STATES:
            jobs.add_metric([state], counts[state])
        yield jobs
        yield GaugeMetricFamily("datainf_workers", "Workers running", value=len(self._store.workers.alive()))

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: so that registering does not read the store."""
        return iter(())


class Metrics:
    """Counts requests by route template, so that ids never become labels."""

    def __init__(self, store: Store) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "datainf_http_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "datainf_http_request_seconds",
            "Time to the end of the answer",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(StoreCollector(store))

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        """The text format of Prometheus. Raises a StoreError when the store does not answer."""
        return generate_latest(self._registry)

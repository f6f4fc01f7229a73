"""Figures of indexes: builds under way, and what every index takes."""

from collections.abc import Iterator
from heapq import nlargest

from prometheus_client.core import GaugeMetricFamily, Metric

from influence.contracts.index import Index
from influence.contracts.job import Job
from influence.contracts.work import INDEX
from influence.store.store import Store

#: Indexes that are told of by id: the largest, and the builds begun last. The largest others are told as one.
MOST_INDEXES = 50
OTHERS = "others"


def describe_builds(store: Store) -> Iterator[Metric]:
    """Begin, rows and speed of the builds under way."""
    names = {
        "datainf_build_began_timestamp_seconds": "When the build left the queue",
        "datainf_build_rows": "Rows that the phase under way is about",
        "datainf_build_rows_done": "Rows of it that are done",
        "datainf_build_rows_per_second": "Rows per second of the phase under way",
    }
    families = [GaugeMetricFamily(name, about, labels=["index_id"]) for name, about in names.items()]
    running = [job for job in store.jobs.open() if job.kind == INDEX.name and job.started_at is not None]
    for job in nlargest(MOST_INDEXES, running, key=lambda job: job.created_at):
        for family, value in zip(families, _figures(job), strict=True):
            family.add_metric([job.resource_id], value)
    return iter(families)


def _figures(job: Job) -> tuple[float, float, float, float]:
    assert job.started_at is not None
    done = job.progress
    is_rows = done.unit == "rows"
    return (
        job.started_at.timestamp(),
        done.total if is_rows else 0,
        done.done if is_rows else 0,
        (done.rate or 0.0) if is_rows else 0.0,
    )


def describe_sizes(store: Store) -> Iterator[Metric]:
    """Bytes in Redis of every index, and of the rows that it is of in the files."""
    rows = {dataset.id: dataset.bytes for dataset in store.datasets.each()}
    sizes = [(index.id, _redis_bytes(store, index), rows.get(index.spec.dataset_id, 0)) for index in _indexes(store)]
    shown = nlargest(MOST_INDEXES, sizes, key=lambda size: size[1:])
    names = {found[0] for found in shown}
    others = [size for size in sizes if size[0] not in names]
    shown += [(OTHERS, sum(size[1] for size in others), sum(size[2] for size in others))] if others else []
    in_redis = GaugeMetricFamily(
        "datainf_index_redis_bytes", "Bytes of an index in Redis: the largest, and all others", labels=["index_id"]
    )
    in_files = GaugeMetricFamily(
        "datainf_index_file_bytes", "Bytes of the rows that an index is of, in the files", labels=["index_id"]
    )
    for name, redis_bytes, file_bytes in shown:
        in_redis.add_metric([name], redis_bytes)
        in_files.add_metric([name], file_bytes)
    return iter((in_redis, in_files))


def _indexes(store: Store) -> Iterator[Index]:
    return store.indexes.each()


def _redis_bytes(store: Store, index: Index) -> int:
    """What a ready index says, and what one under way has committed so far."""
    if index.is_final or not index.shards:
        return index.bytes or 0
    return (index.bytes or 0) + sum(commit.bytes for commit in store.index_data.commits(index.build).values())

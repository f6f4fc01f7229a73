"""A data set of any size and a finished audit of it, for benchmarks of what curators do."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from influence.contracts.audit import Audit, AuditRequest
from influence.contracts.common import now
from influence.contracts.dataset import Dataset
from influence.contracts.tasks import SEQUENCE_CLASSIFICATION
from influence.contracts.work import AUDIT
from influence.rows.file import write_rows
from influence.store.data.files import Files
from influence.store.store import Store

WORDS = ("good", "bad", "film", "great", "plot", "ticket", "refund", "order", "broken", "slow", "account", "charge")
METADATA = {"source": "string", "price": "number", "day": "time", "vip": "boolean", "customer": "string"}


def make_rows(count: int) -> Iterator[dict[str, Any]]:
    """Rows of short texts with five labels and metadata of every type, the same every time."""
    rng = random.Random(0)
    for at in range(count):
        yield {
            "id": str(at),
            "text": " ".join(rng.choices(WORDS, k=rng.randint(6, 22))),
            "label": rng.randrange(5),
            "metadata": {
                "source": f"s{rng.randrange(12)}",
                "price": round(rng.random() * 1000, 2),
                "day": f"2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
                "vip": rng.random() < 0.1,
                "customer": f"c{rng.randrange(400_000):06d}",
            },
        }


def make_dataset(files: Files, store: Store, rows: int, dataset_id: str = "ds_bench") -> Dataset:
    """So many rows as a data set, written past the API."""
    summary = write_rows(files.dataset(dataset_id), make_rows(rows))
    dataset = Dataset(
        id=dataset_id,
        kind="classification",
        columns={"text": "text", "label": "label"},
        metadata_columns=METADATA,
        rows=rows,
        bytes=summary.bytes,
        label_names=("a", "b", "c", "d", "e"),
        statistics={},
        created_at=now(),
    )
    store.datasets.create(dataset)
    return dataset


def make_audit(store: Store, dataset: Dataset) -> Audit:
    """A finished audit with random figures."""
    rng, rows = np.random.default_rng(0), dataset.rows
    table: dict[str, Any] = {
        "row_index": np.arange(rows),
        "suspicion": rng.random(rows, np.float32),
        "loss": rng.random(rows, np.float32),
        "label": rng.integers(0, 5, rows).astype(np.int32),
        "predicted": rng.integers(0, 5, rows).astype(np.int32),
        "probability": rng.random(rows, np.float32),
        "other_probability": rng.random(rows, np.float32),
    }
    audit = Audit(
        **{**AUDIT.begin(), "state": "succeeded"},
        index_id="idx_bench",
        request=AuditRequest(),
        method="datainf",
        signals=(),
        dataset_id=dataset.id,
        kind=dataset.kind,
        task=SEQUENCE_CLASSIFICATION.name,
        label_names=dataset.label_names,
        rows=rows,
        rows_audited=rows,
        columns=tuple(table),
    )
    store.audit_data.write_columns(audit.id, table)
    store.audits.create(audit)
    return audit

"""Jobs of every kind that takes a while, each begun when it is its turn."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.auditing.data import write_rows
from benchmarks.index.gradients import read_rows
from datainf_client import Client
from workers.rows import Row

#: Rows of the builds.
MANY, SOME, FEW = 4000, 600, 60
LONG_TEXTS = 6
RECIPE = {"epochs": 2, "batch_rows": 16}

#: Begins a job and gives its id.
Begin = Callable[[], str]


class Jobs:
    """The reference adapter on rows of SST-2, in one service."""

    def __init__(self, client: Client, shared: Path, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._rows = read_rows(shared / "data" / "sst2" / "train.jsonl")
        adapter = shared / "reference" / "sst2_r8" / "adapter"
        self._checkpoint = client.checkpoints.create("minilm-l6", adapter=adapter)
        self._trusted = self._send(read_rows(shared / "data" / "sst2" / "validation.jsonl")[:300])

    def all(self) -> Iterator[tuple[str, Begin]]:
        """By name. Later ones ask the indexes of earlier ones."""
        client, some = self._client, self._rows[:SOME]
        yield f"compact index, {MANY} rows", lambda: self._index(self._rows[:MANY], storage="compact")
        yield f"compact index, {SOME} rows", lambda: self._index(some, storage="compact")
        yield f"whole gradients, {SOME} rows", lambda: self._index(some, storage="full")
        yield f"compact index, {FEW} rows", lambda: self._index(self._rows[:FEW], storage="compact")
        yield f"compact index, {SOME} rows of six texts each", lambda: self._index(self._long(), storage="compact")
        compact, full = self._built(some, storage="compact"), self._built(some, storage="full")
        yield "compact index grown by 400 rows", lambda: self._grow(compact)
        yield "audit of codes", lambda: self._audit(compact)
        yield "audit of whole gradients", lambda: self._audit(full)
        yield "groups of codes", lambda: self._group(compact)
        yield "groups of whole gradients", lambda: self._group(full)
        yield "what if, verified", lambda: self._verify(compact)
        evaluations = client.evaluations
        common: dict[str, Any] = {"index": compact, "evaluation_dataset": self._trusted, "recipe": RECIPE}
        yield "lds", lambda: evaluations.create("lds", subsets=6, **common).job_id
        yield "calibrate", lambda: evaluations.create("calibrate", **common).job_id

    def _send(self, rows: list[Row]) -> Any:
        return self._client.datasets.create(write_rows(rows, self._folder / "rows.jsonl"))

    def _begin(self, rows: list[Row], **given: Any) -> Any:
        return self._client.indexes.create(self._checkpoint, self._send(rows), max_length=128, **given)

    def _index(self, rows: list[Row], **given: Any) -> str:
        return str(self._begin(rows, **given).job_id)

    def _built(self, rows: list[Row], **given: Any) -> Any:
        return self._begin(rows, **given).wait()

    def _long(self) -> list[Row]:
        """Rows of other lengths than the first rows have: the longest stand last."""
        rng = random.Random(0)
        made: list[Row] = []
        for place in range(SOME):
            texts = [row["text"] for row in rng.sample(self._rows, 1 + place * LONG_TEXTS // SOME)]
            made.append({**self._rows[place], "text": " ".join(texts)})
        return made

    def _grow(self, index: Any) -> str:
        return str(index.grow(self._send(self._rows[: SOME + 400])).job_id)

    def _audit(self, index: Any) -> str:
        return str(index.audit(self._trusted).job_id)

    def _group(self, index: Any) -> str:
        return str(index.group("label", self._trusted).job_id)

    def _verify(self, index: Any) -> str:
        groups = index.group("label", self._trusted).wait()
        answer = groups.what_if(lowest_percent=5, verify=True, repeats=2, recipe=RECIPE)
        return str(answer.job_id)

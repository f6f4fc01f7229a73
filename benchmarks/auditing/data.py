"""Data sets whose labels are wrong in known places, each with the adapter that was trained on them."""

import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.index.gradients import adapted_work, read_rows, reference_work
from workers.rows import Row

#: Of a data set's own labels, unless it comes with its own noise.
FLIP_SHARE = 0.1
ROWS = 2_000
#: Rows whose labels are as they were, for influence.
TRUSTED_ROWS = 200
_NAMES = ("sst2", "banking10", "sms_spam")


@dataclass(frozen=True)
class Noisy:
    """`rows` as they were trained on, `wrong` their places with another label than the data set gave them."""

    name: str
    adapter: Path
    rows: list[Row]
    wrong: frozenset[int]
    trusted: list[Row]


def noisy_sets(shared: Path, *, seeds: int, epochs: int, rows: int) -> Iterator[Noisy]:
    """The reference adapter on SST-2, a fifth of whose labels are flipped, then each data set with other flips and
    another training for each seed."""
    with tempfile.TemporaryDirectory() as folder:
        yield _reference(shared, rows)
        for seed in range(seeds):
            for name in _NAMES:
                yield _trained(shared / "data" / name, Path(folder) / f"{name}-{seed}", seed, epochs, rows)


def _reference(shared: Path, rows: int) -> Noisy:
    work = reference_work(shared, rows=rows, tests=TRUSTED_ROWS)
    truth = {row["id"]: row["label"] for row in read_rows(shared / "data" / "sst2" / "train.jsonl")}
    wrong = frozenset(place for place, row in enumerate(work.train) if row["label"] != truth[row["id"]])
    adapter = shared / "reference" / "sst2_r8" / "adapter"
    return Noisy("sst2 (reference, 20 %)", adapter, work.train, wrong, work.test)


def _trained(data: Path, folder: Path, seed: int, epochs: int, most: int) -> Noisy:
    rng = random.Random(seed)
    rows = read_rows(data / "train.jsonl")
    rows = rng.sample(rows, min(most, len(rows)))
    classes = 1 + max(row["label"] for row in rows)
    wrong = frozenset(rng.sample(range(len(rows)), round(FLIP_SHARE * len(rows))))
    for place in sorted(wrong):
        others = [label for label in range(classes) if label != rows[place]["label"]]
        rows[place] = {**rows[place], "label": rng.choice(others)}
    trusted = read_rows(data / "validation.jsonl")[:TRUSTED_ROWS]
    work = adapted_work(data.name, rows, trusted, epochs=epochs, seed=seed)
    work.model.save_pretrained(str(folder))
    return Noisy(f"{data.name} (seed {seed})", folder, rows, wrong, trusted)


def write_rows(rows: list[Row], path: Path) -> Path:
    """Rows as a user uploads them."""
    kept = [{name: row[name] for name in ("id", "text", "label")} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    return path

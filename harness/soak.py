"""Queries asked and deleted, indexes built and deleted, workers killed at random, on and on. Nothing may grow."""

import random
import time
from dataclasses import dataclass
from pathlib import Path

from harness.faults.chaos import ask
from harness.house import House, opened

#: What may be more at the end than at the beginning: caches that fill up, a library's arenas.
_FREE_MIB, _FREE_HANDLES, _FREE_KEYS = 64.0, 24.0, 12.0


@dataclass(frozen=True)
class Level:
    """At a moment: memory of the API in MiB, its open handles, keys in Redis beside the lines of what ends."""

    mib: float
    handles: float
    keys: float


def measure(house: House) -> Level:
    """Of the house now. Jobs and answers that end by themselves have a line each and are left out."""
    process = Path(f"/proc/{house.processes['api'].pid}")
    pages = int((process / "statm").read_text().split()[1])
    state = house.store().connections.state
    ending = int(state.zcard("datainf:lifetimes"))
    return Level(pages * 4096 / 2**20, len(list((process / "fd").iterdir())), int(state.dbsize()) - ending)


def judge(levels: list[Level]) -> list[str]:
    """What grew: the last third of the levels against the first that came after a warm-up."""
    third = max(1, len(levels) // 3)
    first, last = levels[third : 2 * third] or levels[:1], levels[-third:]
    wrong = []
    for name, free in (("mib", _FREE_MIB), ("handles", _FREE_HANDLES), ("keys", _FREE_KEYS)):
        before, after = (sum(getattr(level, name) for level in part) / len(part) for part in (first, last))
        if after > before + free:
            wrong.append(f"{name} grew from {before:.0f} to {after:.0f}")
    return wrong


def run_soak(folder: Path, *, seed: int, seconds: float, rows: int) -> tuple[list[Level], list[str]]:
    """(levels over time, what was found wrong)."""
    dice, levels = random.Random(seed), list[Level]()
    with opened(folder) as house:
        checkpoint, dataset = house.send(rows, seed)
        request = {"checkpoint_id": checkpoint, "dataset_id": dataset, "storage": "compact", "max_length": 64}
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(levels) < 3:
            index = ask(house, request)
            if dice.random() < 0.3:
                house.kill(dice.choice([name for name in house.names if name != "api"]))
            house.wait(index["job_id"])
            for _ in range(5):
                body = {"examples": [{"text": "late parcel", "label": 0}]}
                query = house.call("POST", f"/v1/indexes/{index['id']}/queries", json=body).json()
                house.wait(query["job_id"])
                house.call("DELETE", f"/v1/queries/{query['id']}")
            house.call("DELETE", f"/v1/indexes/{index['id']}")
            levels.append(measure(house))
    return levels, judge(levels)

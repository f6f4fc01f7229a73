"""Builds under fire: processes are killed, stopped and asked to end, jobs cancelled, indexes deleted and made anew.

A build that is left alone in the end has to succeed, with every row once, and with the very scores of an undisturbed
build. Which faults come and when follows from the seed alone.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.checker import count_rows, read_scores, tell_difference
from harness.faults.troubles import fill_disk, fill_memory
from harness.house import FINAL, House, opened

_PAUSE_SECONDS = 3.0


@dataclass(frozen=True)
class Pauses:
    """How long what is stopped, away, hanging or full stays so."""

    stopped_seconds: float = 50.0
    away_seconds: float = 30.0
    hanging_seconds: float = 60.0
    full_seconds: float = 10.0


@dataclass
class Chaos:
    """One run: `faults` of it so far, and what was found wrong."""

    house: House
    dice: random.Random
    rows: int
    pauses: Pauses
    #: Faults to choose among; all of them where none is named.
    only: tuple[str, ...] = ()
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def disturb(self, index: dict[str, Any]) -> dict[str, Any]:
        """One fault; answers the index as it is now."""
        names = self.only or tuple(FAULTS)
        name = self.dice.choices(names, weights=[FAULTS[name][0] for name in names])[0]
        self.done[name] += 1
        return FAULTS[name][1](self, index)

    def worker(self) -> str:
        return self.dice.choice([name for name in self.house.names if name.startswith("worker")])

    def signal(self, index: dict[str, Any], name: str, number: int) -> dict[str, Any]:
        self.house.kill(name, number)
        time.sleep(0.2)
        self.house.start()
        return index

    def pause(self, index: dict[str, Any], name: str, seconds: float) -> dict[str, Any]:
        self.house.kill(name, signal.SIGSTOP)
        time.sleep(seconds)
        self.house.kill(name, signal.SIGCONT)
        return index

    def take_away(self, index: dict[str, Any]) -> dict[str, Any]:
        self.house.kill("redis", signal.SIGKILL)
        time.sleep(self.pauses.away_seconds)
        self.house.start()
        return index

    def trouble(
        self, index: dict[str, Any], troubled: Callable[[House, random.Random], AbstractContextManager[None]]
    ) -> dict[str, Any]:
        with troubled(self.house, self.dice):
            time.sleep(self.pauses.full_seconds)
        return index

    def again(self, index: dict[str, Any], deleted: str) -> dict[str, Any]:
        self.house.call("DELETE", deleted)
        return ask(self.house, index["request"])

    def build(self, request: dict[str, Any], faults: int, true_scores: list[list[float]]) -> None:
        """Build under so many faults, then check."""
        index, before = ask(self.house, request), self.done.copy()
        for _ in range(faults):
            time.sleep(self.dice.uniform(0, _PAUSE_SECONDS))
            index = self.disturb(index)
            state = self.house.call("GET", f"/v1/indexes/{index['id']}").json().get("state")
            if state in FINAL or state is None:
                break
        job = self.house.wait(self.house.call("GET", f"/v1/indexes/{index['id']}").json()["job_id"])
        if job["state"] != "succeeded":
            self.wrong.append(f"the build {job['id']} {job['state']}: {job.get('error')}")
            return
        self.wrong += count_rows(self.house.store(), index["id"], self.rows)
        if told := tell_difference(read_scores(self.house, index["id"]), true_scores):
            met = dict(self.done - before)
            self.wrong.append(f"the scores of {index['id']} ({request['storage']}, after {met}) {told}")
        self.house.call("DELETE", f"/v1/indexes/{index['id']}")


#: Faults by name: how often each comes among the others, and what it does.
FAULTS: dict[str, tuple[int, Callable[[Chaos, dict[str, Any]], dict[str, Any]]]] = {
    "kill-worker": (8, lambda chaos, now: chaos.signal(now, chaos.worker(), signal.SIGKILL)),
    "end-worker": (4, lambda chaos, now: chaos.signal(now, chaos.worker(), signal.SIGTERM)),
    "kill-api": (2, lambda chaos, now: chaos.signal(now, "api", signal.SIGKILL)),
    "kill-redis": (1, lambda chaos, now: chaos.signal(now, "redis", signal.SIGKILL)),
    "stop-worker": (1, lambda chaos, now: chaos.pause(now, chaos.worker(), chaos.pauses.stopped_seconds)),
    "hang-redis": (1, lambda chaos, now: chaos.pause(now, "redis", chaos.pauses.hanging_seconds)),
    "redis-away": (1, Chaos.take_away),
    "fill-redis": (1, lambda chaos, now: chaos.trouble(now, fill_memory)),
    "fill-redis-disk": (1, lambda chaos, now: chaos.trouble(now, fill_disk)),
    "cancel": (2, lambda chaos, now: chaos.again(now, f"/v1/jobs/{now['job_id']}")),
    "delete": (2, lambda chaos, now: chaos.again(now, f"/v1/indexes/{now['id']}")),
}


def ask(house: House, request: dict[str, Any]) -> dict[str, Any]:
    """The index of a request."""
    answer = house.call("POST", "/v1/indexes", json=request)
    if answer.status_code not in (200, 202):
        raise RuntimeError(f"no index: {answer.text}")
    return {**answer.json(), "request": request}


def undisturbed(
    house: House, seed: int, rows: int, wrong: list[str]
) -> tuple[list[dict[str, Any]], list[list[list[float]]]]:
    """(requests of builds on both storages, scores of builds that were left alone); what is wrong there is added."""
    checkpoint, dataset = house.send(rows, seed)
    requests = [
        {"checkpoint_id": checkpoint, "dataset_id": dataset, "storage": storage, "max_length": 64}
        for storage in ("compact", "full")
    ]
    truth = []
    for request in requests:
        index = ask(house, request)
        job = house.wait(index["job_id"])
        wrong += [] if job["state"] == "succeeded" else [f"undisturbed: {job}"]
        wrong += count_rows(house.store(), index["id"], rows)
        truth.append(read_scores(house, index["id"]))
        house.call("DELETE", f"/v1/indexes/{index['id']}")
    return requests, truth


def run_chaos(
    folder: Path,
    *,
    seed: int,
    builds: int,
    faults: int,
    rows: int,
    pauses: Pauses,
    only: tuple[str, ...] = (),
    variant: str = "",
) -> tuple[Counter[str], list[str]]:
    """(faults by name, what was found wrong); each build meets up to `faults` of them, of those named in `only`."""
    with opened(folder, variant=variant) as house:
        chaos = Chaos(house, random.Random(seed), rows, pauses, only)
        requests, truth = undisturbed(house, seed, rows, chaos.wrong)
        for number in range(builds):
            chaos.build(requests[number % 2], faults, truth[number % 2])
        return chaos.done, chaos.wrong

"""What a job says of its time while it is watched, and how that compares with the time it took."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from datainf_client import Client

_POLL_SECONDS = 0.1
#: What is this near the truth is no error, whatever the factor.
SLACK_SECONDS = 1.0
FINAL = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Moment:
    """Seconds after the job was accepted, its phase, and the seconds that it said were left."""

    at: float
    phase: str
    eta_seconds: float | None


@dataclass(frozen=True)
class Tenth:
    """What was said when `tenth` of the whole time had gone by, and what was left."""

    tenth: int
    phase: str
    said: float | None
    left: float

    @property
    def factor(self) -> float | None:
        """The larger of the two by the smaller, 1 where they agree to a second; None where none was said."""
        if self.said is None:
            return None
        if abs(self.said - self.left) <= SLACK_SECONDS:
            return 1.0
        low, high = sorted((max(self.said, 1e-3), max(self.left, 1e-3)))
        return high / low


@dataclass(frozen=True)
class Watched:
    """A finished job: `seconds` that it took and its tenths from the first to the ninth."""

    name: str
    seconds: float
    tenths: tuple[Tenth, ...]

    @property
    def worst(self) -> float | None:
        """The largest factor; None where at some tenth nothing was said."""
        factors = [tenth.factor for tenth in self.tenths]
        known = [factor for factor in factors if factor is not None]
        return max(known) if len(known) == len(factors) else None


def watch(client: Client, name: str, job_id: str) -> Watched:
    """Follow a job to its end. Raises RuntimeError where it fails."""
    began, moments = time.monotonic(), []
    for job in _follow(client, job_id):
        progress = job["progress"]
        moments.append(Moment(time.monotonic() - began, progress["phase"], progress["eta_seconds"]))
    seconds = moments[-1].at
    tenths = (_at(moments, seconds, tenth) for tenth in range(1, 10))
    return Watched(name, seconds, tuple(tenths))


def _follow(client: Client, job_id: str) -> Iterator[dict[str, Any]]:
    while True:
        job = dict(client.http.get(f"/v1/jobs/{job_id}"))
        yield job
        if job["state"] in FINAL:
            break
        time.sleep(_POLL_SECONDS)
    if job["state"] != "succeeded":
        raise RuntimeError(str(job.get("error")))


def _at(moments: list[Moment], seconds: float, tenth: int) -> Tenth:
    """The last moment before that part of the time had gone by."""
    bound = seconds * tenth / 10
    shown = next((one for one, after in pairwise(moments) if after.at > bound), moments[-1])
    return Tenth(tenth, shown.phase, shown.eta_seconds, seconds - shown.at)

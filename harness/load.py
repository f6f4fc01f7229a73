"""More callers than can be served, for a while: whoever is refused is told when to come again, whoever is let in is
answered in time, and a build goes on meanwhile.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx

from harness.faults.chaos import ask
from harness.house import opened

#: 200: looked at, 202: accepted; 429 and 503: told to come again.
_SERVED, _REFUSED = frozenset({200, 202}), frozenset({429, 503})
ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class Sample:
    """One request: its status, 0 where the connection broke, how long it took, and what it was told of coming again."""

    status: int
    seconds: float
    retry_after: str | None


def judge(samples: list[Sample], *, most_seconds: float = ANSWER_SECONDS) -> list[str]:
    """What is wrong with how callers were treated."""
    wrong = [
        f"{count} answers of status {status}"
        for status, count in sorted(
            Counter(sample.status for sample in samples if sample.status not in _SERVED | _REFUSED).items()
        )
    ]
    if unsaid := sum(sample.status in _REFUSED and not sample.retry_after for sample in samples):
        wrong.append(f"{unsaid} refusals without Retry-After")
    if not (served := sorted(sample.seconds for sample in samples if sample.status in _SERVED)):
        wrong.append("nobody was served")
    elif (late := percentile(served, 0.99)) > most_seconds:
        wrong.append(f"the slowest of 100 who were served waited {late:.1f} s")
    return wrong


def percentile(ordered: list[float], share: float) -> float:
    """Of ascending values."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run_load(
    folder: Path, *, seed: int, callers: int, seconds: float, rows: int
) -> tuple[Counter[str], list[float], list[str]]:
    """(answers by status, seconds of those served in ascending order, what was found wrong)."""
    with opened(folder, workers=1) as house:
        checkpoint, dataset = house.send(rows, seed)
        index = ask(house, {"checkpoint_id": checkpoint, "dataset_id": dataset, "storage": "compact", "max_length": 64})
        house.wait(index["job_id"])
        request = {"checkpoint_id": checkpoint, "dataset_id": dataset, "storage": "full", "max_length": 64}
        built = ask(house, request)
        samples: list[Sample] = []
        end = time.monotonic() + seconds
        url = f"http://127.0.0.1:{house.port}"
        threads = [threading.Thread(target=_ask_on, args=(url, index["id"], end, samples)) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wrong = judge(samples)
        if house.wait(built["job_id"])["state"] != "succeeded":
            wrong.append("the build beside the load did not succeed")
    statuses = Counter(str(sample.status) for sample in samples)
    return statuses, sorted(sample.seconds for sample in samples if sample.status in _SERVED), wrong


def _ask_on(url: str, index_id: str, end: float, samples: list[Sample]) -> None:
    body = {"examples": [{"text": "late parcel", "label": 0}], "k": 1}
    with httpx.Client(base_url=url, timeout=120) as client:
        while time.monotonic() < end:
            started = time.monotonic()
            try:
                answer = client.post(f"/v1/indexes/{index_id}/queries", json=body)
                told = answer.headers.get("retry-after")
                samples.append(Sample(answer.status_code, time.monotonic() - started, told))
            except httpx.TransportError:
                samples.append(Sample(0, time.monotonic() - started, None))

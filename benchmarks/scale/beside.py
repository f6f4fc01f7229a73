"""How long queries take beside a build, against an idle service."""

import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from benchmarks.index.gradients import read_rows
from benchmarks.index.http import KEEPS_NO_POINTS, ask_all, build_index
from demo.service import running_service
from workers.building.outlook import GRADIENTS, SAMPLING

#: Queries of one client, and the first ones, which are not counted.
COUNT, WARM_UP = 60, 5
_SMALL, _LARGE = 500, 20_000
Line = dict[str, Any]


def measure_beside(shared: Path) -> list[Line]:
    """p50 and p95 of one client's queries, answered from codes, idle and while a larger index is built."""
    questions = [
        {"text": row["text"], "label": row["label"]} for row in read_rows(shared / "data/sst2/validation.jsonl")
    ]
    with (
        TemporaryDirectory() as folder,
        running_service(Path(folder) / "data", 0, KEEPS_NO_POINTS) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        path = f"{url}/v1/indexes/{build_index(client, shared, _SMALL)}/queries"
        ask_all(path, questions, 1, WARM_UP, exact=False)
        idle = ask_all(path, questions, 1, COUNT, exact=False)
        builder = threading.Thread(target=_build, args=(url, shared), daemon=True)
        builder.start()
        _wait_for_gradients(client)
        beside = ask_all(path, questions, 1, COUNT, exact=False)
        still = _builds(client)
    lines = [_line("idle", idle), _line("beside a build", beside)]
    lines[1]["of idle, p95"] = lines[1]["p95 (ms)"] / lines[0]["p95 (ms)"]
    lines[0]["of idle, p95"] = 1.0
    if not still:
        raise RuntimeError("the build ended before the queries did")
    return lines


def _line(name: str, seconds: list[float]) -> Line:
    p50, p95 = (1000 * np.percentile(seconds, [50, 95])).tolist()
    return {"service": name, "queries": len(seconds), "p50 (ms)": p50, "p95 (ms)": p95}


def _build(url: str, shared: Path) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:
        try:
            build_index(client, shared, _LARGE)
        except (httpx.HTTPError, RuntimeError, TimeoutError):
            return  # the service has ended, the measurement with it


def _builds(client: httpx.Client) -> list[Any]:
    jobs = client.get("/v1/jobs", params={"state": "running", "kind": "index"}).json()["data"]
    return list(jobs)


def _wait_for_gradients(client: httpx.Client) -> None:
    deadline = time.monotonic() + 300
    while not any(job["progress"] and job["progress"]["phase"] in (SAMPLING, GRADIENTS) for job in _builds(client)):
        if time.monotonic() > deadline:
            raise TimeoutError("the build did not come to its gradients")
        time.sleep(0.2)

"""Queries as clients see them: HTTP on the loopback, through a service in processes of its own."""

import io
import json
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from benchmarks.index.gradients import read_rows
from demo.service import running_service

#: A service that keeps no test points: questions come again here and would be answered without a model, which no two
#: people's questions are.
KEEPS_NO_POINTS = {"DATAINF_TEST_GRADIENT_BYTES": "0"}
#: Concurrent clients, and how many queries all of them send together.
LOADS = ((1, 60), (8, 96), (32, 160))
_WARM_UP = 10
_BUILD_SECONDS = 300.0
_REQUEST_SECONDS = 60.0


@dataclass(frozen=True)
class HttpLine:
    """`clients` send one question after another, each its own test row; milliseconds until the answer is read."""

    rows: int
    exact: bool
    clients: int
    requests: int
    p50_ms: float
    p99_ms: float
    queries_per_second: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_http(shared: Path, *, rows: int) -> list[HttpLine]:
    """The reference adapter on rows of SST-2, compact index, answers from codes and re-ranked."""
    with TemporaryDirectory() as folder, running_service(Path(folder) / "data", 0, KEEPS_NO_POINTS) as url:
        with httpx.Client(base_url=url, timeout=_REQUEST_SECONDS) as client:
            index = build_index(client, shared, rows)
        questions = [
            {"text": row["text"], "label": row["label"]} for row in read_rows(shared / "data/sst2/validation.jsonl")
        ]
        path = f"{url}/v1/indexes/{index}/queries"
        ask_all(path, questions, 1, _WARM_UP, exact=False)
        lines = [_measure(path, questions, rows, clients, count, exact=False) for clients, count in LOADS]
        ask_all(path, questions, 1, _WARM_UP, exact=True)
        return [*lines, _measure(path, questions, rows, 1, LOADS[0][1] // 2, exact=True)]


def build_index(client: httpx.Client, shared: Path, rows: int, *, storage: str = "compact") -> str:
    """The id of an index of the reference adapter on rows of SST-2."""
    chosen = read_rows(shared / "data/sst2/train.jsonl")[:rows]
    sent = [{name: row[name] for name in ("id", "text", "label")} for row in chosen]
    adapter = pack(shared / "reference" / "sst2_r8" / "adapter")
    return make_index(client, adapter, sent, base_model="minilm-l6", storage=storage, max_length=128)


def make_index(
    client: httpx.Client,
    adapter: bytes,
    rows: Sequence[dict[str, Any]],
    *,
    base_model: str,
    seconds: float = _BUILD_SECONDS,
    **settings: Any,
) -> str:
    """The id of an index of an adapter, given as a zip, on rows. Raises TimeoutError after `seconds`, RuntimeError."""
    upload = {"adapter": ("adapter.zip", adapter)}
    checkpoint = checked(client.post("/v1/checkpoints", data={"base_model": base_model}, files=upload))
    lines = "\n".join(map(json.dumps, rows))
    dataset = checked(client.post("/v1/datasets", files={"file": ("rows.jsonl", lines.encode())}))
    asked = {"checkpoint_id": checkpoint["id"], "dataset_id": dataset["id"], **settings}
    index = checked(client.post("/v1/indexes", json=asked))
    wait_for(client, index["job_id"], seconds)
    return str(index["id"])


def wait_for(client: httpx.Client, job_id: str, seconds: float) -> None:
    """Until a job has succeeded. Raises TimeoutError after `seconds`, and RuntimeError where it ends otherwise."""
    deadline = time.monotonic() + seconds
    while (job := checked(client.get(f"/v1/jobs/{job_id}")))["state"] in ("queued", "running"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{job['kind']} {job['resource_id']} is not there after {seconds:g} seconds")
        time.sleep(0.5)
    if job["state"] != "succeeded":
        raise RuntimeError(json.dumps(job))


def pack(folder: Path) -> bytes:
    """An adapter's folder as a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            archive.write(folder / name, name)
    return packed.getvalue()


def checked(response: httpx.Response) -> Any:
    """The body of an answer that is none of an error."""
    if response.is_error:
        raise RuntimeError(response.text)
    return response.json()


def _measure(
    path: str, questions: Sequence[dict[str, Any]], rows: int, clients: int, count: int, *, exact: bool
) -> HttpLine:
    started = time.perf_counter()
    times = ask_all(path, questions, clients, count, exact=exact)
    rate = len(times) / (time.perf_counter() - started)
    p50, p99 = np.percentile(times, [50, 99]).tolist()
    return HttpLine(rows, exact, clients, len(times), 1000 * p50, 1000 * p99, rate)


def ask_all(path: str, questions: Sequence[dict[str, Any]], clients: int, count: int, *, exact: bool) -> list[float]:
    """Seconds of each of `count` queries from so many clients at once."""

    def ask(client_number: int) -> list[float]:
        seen = []
        with httpx.Client(timeout=_REQUEST_SECONDS, headers={"Prefer": "wait=30"}) as client:
            for number in range(client_number, count, clients):
                asked = {"examples": [questions[number % len(questions)]], "k": 10, "exact": exact}
                started = time.perf_counter()
                if "results" not in checked(client.post(path, json=asked)):
                    raise RuntimeError("no answer within the wait")
                seen.append(time.perf_counter() - started)
        return seen

    with ThreadPoolExecutor(clients) as pool:
        return [seconds for found in pool.map(ask, range(clients)) for seconds in found]

"""A service of separate processes that can be killed one by one, and that are started again as a launcher would."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from support.api import environment
from support.rows import make_ticket_rows
from support.tiny import LABELS, make_classifier

from influence.digests import canonical_json
from influence.store.connections import connect
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

FINAL = ("succeeded", "failed", "cancelled")
#: Longer than anything takes: what is not over by then hangs.
HANG_SECONDS = 900.0


class House:
    """Redis, an API and workers below a folder. `variant` names a broken worker, see `harness.faults.broken`."""

    def __init__(self, folder: Path, *, workers: int = 2, variant: str = "", shard_seconds: float = 1e-3) -> None:
        self.folder = folder
        self.redis = EmbeddedServer(folder / "redis")
        self.variant = variant
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.tiny = make_classifier(folder / "tiny")
        self.names = ["api", *(f"worker-{number}" for number in range(workers))]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        self._shard_seconds = shard_seconds
        self._store: Store | None = None

    def start(self) -> None:
        """Start what does not run."""
        if self.redis._process is None or self.redis.process.poll() is not None:
            self.redis.start()
        for name in self.names:
            process = self.processes.get(name)
            if process is None or process.poll() is not None:
                self.processes[name] = self._launch(name)

    def _launch(self, name: str) -> subprocess.Popen[bytes]:
        settings = {
            "redis_url": self.redis.url,
            "data_dir": str(self.folder / "data"),
            "port": str(self.port),
            "base_model_aliases": canonical_json({"tiny": str(self.tiny.base)}).decode(),
            "hub_offline": "true",
            "cpu_threads": "1",
            "device": "cpu",
            "shard_seconds": str(self._shard_seconds),
        }
        module = ["app"] if name == "api" else ["harness.faults.broken", self.variant, "--name", name]
        root = Path(__file__).resolve().parents[1]
        path = os.pathsep.join([str(root / "tests"), str(root)])
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *module],
                env={**environment(**settings), "PYTHONPATH": path},
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process, or to Redis."""
        process = self.redis.process if name == "redis" else self.processes[name]
        if process.poll() is None:
            process.send_signal(number)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request, sent again while the API or Redis is away; every part that is down is started again."""
        deadline = time.monotonic() + HANG_SECONDS
        while True:
            self.start()
            try:
                answer = self.client.request(method, path, **options)
                if answer.status_code != 503:
                    return answer
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path} is not answered")
            time.sleep(0.2)

    def wait(self, job_id: str) -> dict[str, Any]:
        """A job once it is over."""
        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline:
            job = self.call("GET", f"/v1/jobs/{job_id}").json()
            if job.get("state") in (*FINAL, None):
                return dict(job)
            time.sleep(0.1)
        raise TimeoutError(f"{job_id} hangs: {job}")

    def send(self, rows: int, seed: int) -> tuple[str, str]:
        """A checkpoint and a data set; answers their ids."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for file in sorted(self.tiny.adapter.iterdir()):
                archive.write(file, file.name)
        form = {"base_model": "tiny", "label_names": canonical_json(list(LABELS)).decode()}
        files = {"adapter": ("a.zip", buffer.getvalue())}
        checkpoint = self.call("POST", "/v1/checkpoints", files=files, data=form).json()["id"]
        lines = b"\n".join(canonical_json(row) for row in make_ticket_rows(rows, seed=seed))
        dataset = self.call("POST", "/v1/datasets", files={"file": ("rows.jsonl", lines)}).json()["id"]
        return str(checkpoint), str(dataset)

    def store(self) -> Store:
        """The store, looked at from beside."""
        if self._store is None:
            self._store = Store(connect(self.redis.url))
        return self._store

    def stop(self) -> None:
        """End everything."""
        self.client.close()
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.redis.stop()


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[House]:
    """A house until the block ends."""
    house = House(folder, **options)
    try:
        house.start()
        yield house
    finally:
        house.stop()

"""The whole service as a user starts it: `datainf serve` in its own processes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

#: Longer than a service takes to end, however busy the machine.
END_SECONDS = 300.0
#: Longer than any job takes: the largest is a minute's work on an idle machine.
JOB_SECONDS = 1200.0


class Service:
    """A running service and a client for it."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.client = httpx.Client(base_url=url, timeout=600)
        self.log = log

    def post(self, path: str, **options: Any) -> Any:
        """POST and expect success."""
        response = self.client.post(path, **options)
        assert response.status_code in (200, 201, 202), response.text
        return response.json()

    def get(self, path: str, **options: Any) -> Any:
        """GET and expect success."""
        response = self.client.get(path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def answer(self, path: str, wait_until: Callable[..., None], **options: Any) -> Any:
        """POST what is answered at once, and wait for it where the machine is too busy for that."""
        asked = self.post(path, headers={"Prefer": "wait=60"}, **options)
        if asked["state"] in ("queued", "running"):
            asked = self.get(self.finish(asked["job_id"], wait_until)["resource"])
        return asked

    def finish(self, job_id: str, wait_until: Callable[..., None]) -> Any:
        """Wait for a job's end."""
        final = ("succeeded", "failed", "cancelled")
        wait_until(lambda: self.get(f"/v1/jobs/{job_id}")["state"] in final, f"{job_id} is final", JOB_SECONDS)
        return self.get(f"/v1/jobs/{job_id}")


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def serving(data_dir: Path, **environment: str) -> Iterator[Service]:
    """Run `datainf serve` until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = data_dir.with_suffix(".log")
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port), "--data-dir", str(data_dir)]
    cleared = {name: value for name, value in os.environ.items() if not name.startswith("DATAINF_")}
    with log.open("wb") as output:
        # A run in the background ignores Ctrl-C and would hand that on; a user's terminal does not.
        process = subprocess.Popen(
            command,
            preexec_fn=_heed_interrupts,
            stdout=output,
            stderr=output,
            env={**cleared, "DATAINF_HUB_OFFLINE": "true", **environment},
        )
    service = Service(process, f"http://127.0.0.1:{port}", log)
    try:
        yield service
    finally:
        service.client.close()
        process.send_signal(signal.SIGTERM)
        process.wait(END_SECONDS)


def wait_for_workers(service: Service, wait_until: Callable[..., None]) -> None:
    """Wait until API and worker answer."""

    def ready() -> bool:
        try:
            return bool(service.client.get("/health/ready").json().get("workers"))
        except (httpx.HTTPError, ValueError):
            assert service.process.poll() is None, service.log.read_text()
            return False

    wait_until(ready, "the service is ready")

"""The service of the demo, started as a user would start it: `datainf serve` in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from cli.serve import choose_port, service_url
from influence.errors import ResourceInUse, Unavailable
from influence.store.embedded import die_with_parent

HOST, USUAL_PORT = "127.0.0.1", 8321
START_SECONDS, STOP_SECONDS, LOOK_SECONDS = 120.0, 60.0, 0.1
_LAST_BYTES = 2000


@dataclass
class RunningService:
    """A started service; what it writes goes to `log`."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def wait_until_ready(self) -> None:
        """Return once the API and its worker answer. Raises Unavailable with the last words of its log."""
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() >= deadline:
                raise Unavailable(f"The service did not start: {self._last_words()}", hint=f"Read {self.log}.")
            time.sleep(LOOK_SECONDS)

    def _is_ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/health/ready", timeout=2.0, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.is_success and bool(answer.json().get("workers"))

    def _last_words(self) -> str:
        return self.log.read_bytes()[-_LAST_BYTES:].decode(errors="replace").strip() or "it wrote nothing."

    def stop(self) -> None:
        """End it in order; kill it if it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_service(folder: Path, port: int | None = None) -> RunningService:
    """Start the service on `folder`; without `port`, on the usual one or, where that is taken, on a free one."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = _usual_or_free_port() if port is None else choose_port(HOST, port)
    log = folder / "service.log"
    command = [
        sys.executable, "-m", "cli.main", "serve", "--host", HOST, "--port", str(chosen), "--data-dir", str(folder),
    ]  # fmt: skip
    # A session of its own: Ctrl-C is for the demo, which then ends the service in order.
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, env=_environment(), stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=partial(die_with_parent, os.getpid()),
        )  # fmt: skip
    return RunningService(service_url(HOST, chosen), log, process)


def _environment() -> dict[str, str]:
    """Ours without settings of another service, such as keys or a Redis that is not the demo's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATAINF_")}
    return {**kept, "HF_HUB_OFFLINE": "1"}


def _usual_or_free_port() -> int:
    try:
        return choose_port(HOST, USUAL_PORT)
    except ResourceInUse:
        return choose_port(HOST, 0)

"""The service, started as a user starts it: `datainf serve` in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cli.commands.serve import service_url
from datainf_client import Client, ServiceError
from influence.errors import Unavailable
from influence.store.embedded import die_with_parent

#: Loading torch from a cold disk is most of it.
START_SECONDS = 120.0
#: Longer than the service gives its own children.
STOP_SECONDS = 60.0
_HOST = "127.0.0.1"
_LAST_LINES = 8


@contextmanager
def running_service(data_dir: Path, port: int, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Start the service on a port (0: a free one), give its URL once it can answer, end it in order afterwards.

    `settings` are variables of its environment; those of this process do not count.

    Raises Unavailable with the last lines of its log when it does not come up.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    port = port or _free_port()
    log = data_dir.parent / "service.log"
    command = [str(Path(sys.executable).with_name("datainf")), "serve", "--host", _HOST, "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATAINF_")}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--data-dir", str(data_dir)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**environment, "HF_HUB_OFFLINE": "1", "DATAINF_HUB_OFFLINE": "true", **(settings or {})},
            # Ctrl-C is ours alone to hear; the service is told by SIGTERM, also should we be killed.
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    try:
        url = service_url(_HOST, port)
        _wait_until_ready(process, url, log)
        yield url
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Ready means: the API answers, its store answers and a worker has loaded."""
    deadline = time.monotonic() + START_SECONDS
    with Client(url) as service:
        while time.monotonic() < deadline and process.poll() is None:
            if _is_ready(service):
                return
            time.sleep(0.1)
    lines = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    raise Unavailable(f"The service did not start: {' | '.join(lines) or 'it said nothing'}", hint=f"See {log}.")


def _is_ready(service: Client) -> bool:
    try:
        found = service.readiness()
    except ServiceError:
        return False
    return found.get("status") == "ready" and bool(found.get("workers"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

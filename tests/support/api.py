"""The API as its callers meet it: in this process, or as a process of its own with its log."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from starlette.types import ASGIApp

#: Headers of a caller with a key, and what makes a new key with them.
Headers = dict[str, str]
MakeKey = Callable[..., Headers]


class LocalClient(TestClient):
    """Speaks to 127.0.0.1: without keys the API takes no other host. Failures are answers, not exceptions."""

    def __init__(self, app: ASGIApp, base_url: str = "http://127.0.0.1") -> None:
        super().__init__(app, base_url=base_url, raise_server_exceptions=False)


@dataclass
class ApiProcess:
    """A running API; `url` is where it listens."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    def lines(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]

    def find_url(self) -> str | None:
        """Where it listens, once it does."""
        found = [line["event"] for line in self.lines() if line["event"].startswith("Uvicorn running on")]
        return found[0].split()[3] if found else None


def environment(**settings: str) -> dict[str, str]:
    """Ours without a service's settings, and those given."""
    cleared = {name: value for name, value in os.environ.items() if not name.startswith("DATAINF_")}
    return {**cleared, **{f"DATAINF_{name.upper()}": value for name, value in settings.items()}}


def run_to_end(**settings: str) -> subprocess.CompletedProcess[str]:
    """An API that does not start."""
    command = [sys.executable, "-m", "app"]
    return subprocess.run(
        command, env=environment(**settings), capture_output=True, text=True, timeout=300, check=False
    )


@contextmanager
def running_api(
    folder: Path, wait_until: Callable[..., None], *, max_file_bytes: int = resource.RLIM_INFINITY, **settings: str
) -> Iterator[ApiProcess]:
    """A process that serves on a free port until the block ends; no file that it writes may be larger."""

    def bound_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))

    log = folder / "api.log"
    chosen = {"data_dir": str(folder / "data"), "port": "0", "log_json": "true", **settings}
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "app"]
        process = subprocess.Popen(command, env=environment(**chosen), stderr=stream, preexec_fn=bound_files)
    started = ApiProcess(process, log)
    try:
        wait_until(lambda: started.find_url() or process.poll() is not None, "the address is logged")
        started.url = started.find_url() or ""
        assert started.url, log.read_text()
        yield started
    finally:
        process.kill()
        process.wait()

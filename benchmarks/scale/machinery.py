"""A server, worker processes as the service starts them, and a runtime in this process that asks them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from influence.digests import new_id
from influence.store.embedded import EmbeddedServer, die_with_parent
from workers.process.worker import make_runtime
from workers.runtime.state import Runtime
from workers.settings import WorkerSettings

#: Rows are in the files; what Redis keeps of them is dropped beyond this.
REDIS_BYTES = 1 << 30
_START_SECONDS = 120.0
Settings = dict[str, int]


class Bench:
    """Where indexes are, and who works on them; `seconds_of` measures what is asked."""

    def __init__(self, folder: Path, server: EmbeddedServer) -> None:
        self.folder = folder
        self._server = server
        self._stack = ExitStack()
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def runtime(self, **settings: Any) -> Runtime:
        """Connections, caches and settings of a process that takes no messages."""
        chosen = WorkerSettings(redis_url=self._server.url, data_dir=self.folder, device="cpu", **settings)
        made = make_runtime(chosen, f"asks-{new_id('w')}", torch.device("cpu"))
        self._stack.callback(made.store.connections.close)
        return made

    def start_workers(self, asks: Runtime, count: int, settings: Settings) -> list[str]:
        """So many more worker processes of one thread each, at work; answers their names."""
        names = [f"bench-{len(self._workers) + number}" for number in range(count)]
        given = {"REDIS_URL": self._server.url, "DATA_DIR": str(self.folder), "DEVICE": "cpu", "CPU_THREADS": "1"}
        given |= {name.upper(): str(value) for name, value in settings.items()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DATAINF_")}
        for name in names:
            self._workers[name] = subprocess.Popen(
                [sys.executable, "-m", "workers.process.start", "--name", name],
                env={**kept, **{f"DATAINF_{key}": value for key, value in given.items()}, "DATAINF_LOG_LEVEL": "ERROR"},
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        deadline = time.monotonic() + _START_SECONDS
        while not set(names) <= {str(worker["name"]) for worker in asks.store.workers.alive()}:
            if time.monotonic() > deadline:
                raise TimeoutError("the workers did not start")
            time.sleep(0.1)
        return names

    def kill_worker(self, name: str) -> None:
        """As the kernel does it that is out of memory."""
        process = self._workers.pop(name)
        process.kill()
        process.wait()

    def end(self) -> None:
        """End workers and connections."""
        for process in self._workers.values():
            process.terminate()
        for process in self._workers.values():
            process.wait()
        self._stack.close()


@contextmanager
def running_bench() -> Iterator[Bench]:
    """A server and folders that go when the block ends."""
    with TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder) / "redis", maxmemory_bytes=REDIS_BYTES)
        Path(folder, "redis").mkdir()
        server.start()
        bench = Bench(Path(folder) / "data", server)
        try:
            yield bench
        finally:
            bench.end()
            server.stop()


def seconds_of(action: Callable[[], object]) -> float:
    """How long an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started

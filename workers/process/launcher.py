"""Starts worker processes and keeps them running. Imports no torch, so that it stays small."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from types import FrameType

import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsError

from influence.errors import InvalidRequest
from influence.process.logs import configure_logs
from influence.process.restarts import Lives, Patience, describe_exit
from influence.settings import EXIT_SETTINGS, describe_problems
from influence.store.connections import PROMPT, check_servers, connect
from influence.store.embedded import die_with_parent
from workers.process.heap import steady_heap
from workers.settings import WorkerSettings

log = structlog.get_logger()

POLL_SECONDS = 0.2
STOP_SECONDS = 12.0
#: Whoever runs workers alone is told of the trouble by the log; they are tried again for ever, ever more rarely.
_PATIENCE = Patience(last_wait_seconds=30.0)


def count_processes(wanted: str, device_map: str = "") -> int:
    """How many to start: one a visible GPU; one for all of them where models are spread, or where there is none."""
    if wanted == "cpu" or device_map:
        return 1
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return max(1, len([device for device in visible.split(",") if device.strip()]))
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 1
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False).stdout
    return max(1, sum(line.startswith("GPU ") for line in listed.splitlines()))


@dataclass
class Slot:
    """One process and its successors; they share a name, so that a successor takes over its messages."""

    number: int
    name: str
    process: subprocess.Popen[bytes] | None = None
    lives: Lives = field(default_factory=lambda: Lives(_PATIENCE))

    def supervise(self) -> None:
        """Start the process if it is not running and its waiting time is over."""
        if self.process is not None and self.process.poll() is not None:
            self._restart_later(self.process.returncode)
        if self.process is None and self.lives.may_begin:
            command = [sys.executable, "-m", "workers.process.start", "--slot", str(self.number), "--name", self.name]
            self.process = subprocess.Popen(command, env=steady_heap(os.environ), preexec_fn=die_with_parent)
            self.lives.begin()

    def _restart_later(self, code: int) -> None:
        wait = self.lives.end()
        cause = describe_exit(code)
        log.warning("a worker process ended and is started again", slot=self.number, cause=cause, wait_seconds=wait)
        self.process = None


@dataclass
class Launcher:
    """Keeps `count` processes running until `stopping` is set."""

    count: int
    name: str
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Supervise the slots, then end them."""
        slots = [Slot(number, f"{self.name}-{number}") for number in range(self.count)]
        while not self.stopping.is_set():
            for slot in slots:
                slot.supervise()
            self.stopping.wait(POLL_SECONDS)
        self._stop([slot.process for slot in slots if slot.process is not None])

    def _stop(self, processes: list[subprocess.Popen[bytes]]) -> None:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main() -> None:
    """Run until Ctrl-C or SIGTERM. Settings that are wrong end it at once, with EXIT_SETTINGS."""
    try:
        settings = WorkerSettings()
    except (ValidationError, SettingsError) as error:
        for sentence in describe_problems(error):
            print(f"datainf: {sentence}", file=sys.stderr)
        raise SystemExit(EXIT_SETTINGS) from error
    configure_logs(settings.log_level, as_json=settings.log_json)
    try:
        with closing(connect(settings.redis_url, settings.cache_url, PROMPT)) as connections:
            check_servers(connections)
    except InvalidRequest as error:
        print(f"datainf: {error.detail} {error.hint}", file=sys.stderr)
        raise SystemExit(EXIT_SETTINGS) from error
    name = settings.worker_name or f"{socket.gethostname()}-{os.getpid()}"
    launcher = Launcher(count_processes(settings.device, settings.device_map), name)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        launcher.stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    launcher.run()

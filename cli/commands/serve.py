"""`datainf serve`: Redis-protocol server, API and worker of one machine, under one supervisor."""

import hashlib
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from errno import EADDRINUSE
from pathlib import Path
from typing import Annotated

import httpx
import typer

from cli.printing.output import EXIT_KILLED, Output
from cli.printing.terminal import Terminal
from cli.processes.children import CommandChild, LineSink, ServerChild
from cli.processes.supervisor import Post, Supervisor
from influence.errors import InvalidRequest, ResourceInUse
from influence.process.lockfile import lock_file
from influence.store.embedded import EmbeddedServer

#: Longer than the API (10 s) and the workers (25 s) give themselves.
API_STOP_SECONDS, WORKER_STOP_SECONDS, SERVER_STOP_SECONDS = 13.0, 30.0, 20.0
#: A service that was killed a moment ago needs a moment to let go of its port and its folder.
TAKE_OVER_SECONDS = 5.0
#: One probe's patience, and the pause between two once the API answers.
_PROBE_SECONDS, _PAUSE_SECONDS = 0.5, 0.5
DEFAULT_PORT = 8321
API_COMMAND = (sys.executable, "-m", "app")
WORKER_COMMAND = (sys.executable, "-m", "workers")


@dataclass(frozen=True)
class ServeOptions:
    """What was asked for on the command line. Port 0 takes a free one; no workers: only the API."""

    host: str
    port: int
    data_dir: Path
    workers: int
    api_command: tuple[str, ...] = API_COMMAND
    worker_command: tuple[str, ...] = WORKER_COMMAND
    take_over_seconds: float = TAKE_OVER_SECONDS


def serve_command(
    host: Annotated[str, typer.Option(envvar="DATAINF_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="DATAINF_PORT", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = DEFAULT_PORT,
    data_dir: Annotated[
        Path, typer.Option(envvar="DATAINF_DATA_DIR", file_okay=False, help="Where everything is kept.")
    ] = Path(".datainf"),
    workers: Annotated[
        int, typer.Option(min=0, max=64, help="Worker launchers; each runs one process per GPU, or one on the CPU.")
    ] = 1,
) -> None:
    """Run everything on this machine: the API, a worker and, unless DATAINF_REDIS_URL is set, a Redis-protocol server.

    Ctrl-C or SIGTERM ends it in order and exits with 0; a second one kills and exits with 130. Exit code 1: it could
    not start, or the API or the Redis-protocol server kept dying; a worker that does is tried again for ever.
    """
    with Output().reporting():
        code = serve(ServeOptions(host, port, data_dir, workers))
    raise typer.Exit(code)


def serve(options: ServeOptions) -> int:
    """Run the service until it is told to stop; answers the exit code.

    Raises ResourceInUse (data directory or port), InvalidRequest (an open door), Unavailable (a part keeps dying).
    """
    refuse_open_door(options.host, os.environ)
    terminal = Terminal(sys.stderr)
    data_dir = options.data_dir.expanduser().resolve()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = lock_file(data_dir / "serve.lock", wait_seconds=options.take_over_seconds)
    server = None if os.environ.get("DATAINF_REDIS_URL") else EmbeddedServer(data_dir / "redis")
    try:
        port = choose_port(options.host, options.port, wait_seconds=options.take_over_seconds)
        environment = child_environment(os.environ, server, options.host, port, data_dir)
        posts = make_posts(options, environment, data_dir, terminal.forward, server)
        url = service_url(options.host, port)
        terminal.tell(f"Starting {', '.join(post.child.name for post in posts)}; data in {data_dir}")
        supervisor = Supervisor(
            posts,
            terminal.tell,
            Readiness(url, terminal.tell, options.workers > 0),
            _greeting(Terminal(sys.stdout), url),
        )
        signals = supervisor.run()
    finally:
        if server is not None:
            server.stop()
        os.close(lock)
    terminal.tell("Stopped.")
    return 0 if signals <= 1 else EXIT_KILLED


def refuse_open_door(host: str, environment: Mapping[str, str]) -> None:
    """Raise InvalidRequest when others could reach the API without a key: better now than in a child's log."""
    # Loaded here: it takes a tenth of the time in which every command starts.
    from influence.settings import is_loopback

    keys = environment.get("DATAINF_API_KEYS", "").strip()
    asks = environment.get("DATAINF_REQUIRE_KEYS", "").strip().lower() in ("1", "true", "yes", "on")
    if is_loopback(host) or asks or keys not in ("", "[]"):
        return
    raise InvalidRequest(
        f"The API would listen on {host} without asking for a key.",
        hint="Set DATAINF_API_KEYS to a JSON list of keys of at least 16 characters, or DATAINF_REQUIRE_KEYS=true and "
        "make keys with 'datainf keys create', or use --host 127.0.0.1.",
    )


def choose_port(host: str, port: int, *, wait_seconds: float = 0.0) -> int:
    """The port, or a free one for 0. Raises ResourceInUse when someone listens there, InvalidRequest for no address."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                return int(probe.getsockname()[1])
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise InvalidRequest(
                    f"The API cannot listen on {host} port {port}: {error.strerror}.",
                    hint="Use an address of this machine and a port that you may open, e.g. --host 127.0.0.1 --port 0.",
                ) from error
            if time.monotonic() >= deadline:
                raise ResourceInUse(
                    f"Port {port} on {host} is in use.",
                    hint="Is another service running there? Use another --port, or --port 0 for a free one.",
                ) from error
        time.sleep(0.1)


def service_url(host: str, port: int) -> str:
    """Where this machine reaches the API."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def child_environment(
    inherited: Mapping[str, str], server: EmbeddedServer | None, host: str, port: int, data_dir: Path
) -> dict[str, str]:
    """Our environment and what the children are told by it."""
    environment = {
        **inherited,
        "DATAINF_HOST": host,
        "DATAINF_PORT": str(port),
        "DATAINF_DATA_DIR": str(data_dir),
        "PYTHONUNBUFFERED": "1",
        # A file app.py in the folder where the service is started must not be taken for ours.
        "PYTHONSAFEPATH": "1",
    }
    if server is not None:
        environment["DATAINF_REDIS_URL"] = server.url
    return environment


def make_posts(
    options: ServeOptions, environment: Mapping[str, str], data_dir: Path, sink: LineSink, server: EmbeddedServer | None
) -> list[Post]:
    """All children in the order of starting. What is stored can be read without a worker, so that none is vital."""
    posts = [] if server is None else [Post(ServerChild(server), SERVER_STOP_SECONDS)]
    posts.append(Post(CommandChild("api", options.api_command, environment, sink), API_STOP_SECONDS))
    for number in range(options.workers):
        name = "worker" if options.workers == 1 else f"worker-{number}"
        told = {**environment, **worker_environment(environment, data_dir, number, options.workers)}
        posts.append(Post(CommandChild(name, options.worker_command, told, sink), WORKER_STOP_SECONDS, is_vital=False))
    return posts


def worker_environment(environment: Mapping[str, str], data_dir: Path, number: int, workers: int) -> dict[str, str]:
    """A name that stays the same over restarts, so that a successor takes over its messages; a share of the cores."""
    folder = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:8]
    base = environment.get("DATAINF_WORKER_NAME") or f"{socket.gethostname()}-{folder}"
    told = {"DATAINF_WORKER_NAME": f"{base}-{number}"}
    if workers > 1 and "DATAINF_CPU_THREADS" not in environment:
        told["DATAINF_CPU_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // workers))
    return told


@dataclass
class Readiness:
    """Whether the API serves requests and, where one is wanted, a worker has loaded: the first query is answered."""

    url: str
    tell: Callable[[str], None]
    wants_worker: bool
    _ask_after: float = 0.0
    _waiting_told: bool = False

    def __call__(self) -> bool:
        if time.monotonic() < self._ask_after:
            return False
        try:
            response = httpx.get(f"{self.url}/health/ready", timeout=_PROBE_SECONDS, trust_env=False)
        except httpx.HTTPError:
            return False
        self._ask_after = time.monotonic() + _PAUSE_SECONDS
        if not response.is_success:
            return False
        if not self.wants_worker or response.json().get("workers"):
            return True
        if not self._waiting_told:
            self._waiting_told = True
            self.tell(f"The API answers at {self.url}; the worker is still loading.")
        return False


def _greeting(terminal: Terminal, url: str) -> Callable[[], None]:
    def greet() -> None:
        elsewhere = "" if url.endswith(f":{DEFAULT_PORT}") else f" --url {url}"
        terminal.announce(
            f"\n  Ready: {url}   (API guide: {url}/docs)\n\n"
            f"  Build an index:  datainf build --base-model BASE --adapter FOLDER --data rows.jsonl{elsewhere}\n"
            f"  Ask it:          datainf query INDEX_ID --text '...' --label NAME{elsewhere}\n"
            f"  Look around:     datainf status{elsewhere}\n\n  Ctrl-C ends it; what was built is kept.\n"
        )

    return greet

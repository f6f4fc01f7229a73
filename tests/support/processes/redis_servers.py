"""Redis-protocol servers on free ports of the loopback: alone, watched by a sentinel, behind TLS, of a cluster."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from influence.store.embedded import find_server

WaitUntil = Callable[..., None]
_PIECE_BYTES = 1 << 16
#: A node of a cluster speaks to others on the port so far above its own.
_BUS_OFFSET = 10_000
#: What TLS begins with, and no command does.
_HANDSHAKE = b"\x16"


def free_port() -> int:
    """A port that nobody listened on a moment ago, so low that a node of a cluster finds one for its bus above it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        return port if port + _BUS_OFFSET < 1 << 16 else free_port()


@contextmanager
def redis_server(folder: Path, wait_until: WaitUntil, *options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port and the process of a server, with options of its configuration as arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [str(find_server()), *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or answers(port), "the server answers")
        assert process.poll() is None, "the server ended at once"
        yield port, process
    finally:
        process.kill()
        process.wait()


@contextmanager
def sentinel(folder: Path, wait_until: WaitUntil, master_port: int) -> Iterator[int]:
    """The port of a sentinel that watches a server as `mine`, and replaces it after half a second of silence."""
    folder.mkdir(parents=True, exist_ok=True)
    port, configuration = free_port(), folder / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor mine 127.0.0.1 {master_port} 1\n"
        "sentinel down-after-milliseconds mine 500\nsentinel failover-timeout mine 2000\n"
    )
    process = subprocess.Popen([str(find_server()), str(configuration), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port), "the sentinel answers")
        yield port
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    """Whether a server is there."""
    with redis.Redis(port=port) as client, suppress(redis.exceptions.RedisError):
        return bool(client.ping())
    return False


@contextmanager
def tls_relay(port: int, context: ssl.SSLContext, *, or_plain: bool = False) -> Iterator[int]:
    """A port that speaks TLS and passes on what it hears to a server that does not; `or_plain` also to those who do not
    speak it either, as sentinels."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_relay, args=(listener, port, context, or_plain), daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _relay(listener: socket.socket, port: int, context: ssl.SSLContext, or_plain: bool) -> None:
    with suppress(OSError):
        while True:
            heard, _ = listener.accept()
            threading.Thread(target=_serve, args=(heard, port, context, or_plain), daemon=True).start()


def _open(heard: socket.socket, context: ssl.SSLContext, or_plain: bool) -> socket.socket:
    if or_plain and heard.recv(1, socket.MSG_PEEK) != _HANDSHAKE:
        return heard
    return context.wrap_socket(heard, server_side=True)


def _serve(heard: socket.socket, port: int, context: ssl.SSLContext, or_plain: bool) -> None:
    with (
        suppress(OSError),
        heard,
        _open(heard, context, or_plain) as outer,
        socket.create_connection(("127.0.0.1", port)) as inner,
    ):
        back = threading.Thread(target=_copy, args=(inner, outer), daemon=True)
        back.start()
        _copy(outer, inner)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

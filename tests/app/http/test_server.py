"""A caller who dawdles over a request is cut off; one whose request is being answered is not."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn
from starlette.types import Receive, Scope, Send

from app.http.serving.server import CallerDeadline


class Quick(CallerDeadline):
    header_seconds = 0.2
    body_seconds = 0.3


@contextmanager
def serving(listener: socket.socket, answer_after: threading.Event, most: int | None = None) -> Iterator[None]:
    """A server whose one answer waits for an event; it serves `most` connections at once."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        import anyio.to_thread

        await anyio.to_thread.run_sync(answer_after.wait)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(
        application,
        http=Quick,
        log_level="error",
        ws="none",
        lifespan="off",
        limit_concurrency=most,
        timeout_keep_alive=300,  # the server's own patience between two requests is not what is looked at
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        answer_after.set()
        server.should_exit = True
        thread.join()


def test_a_request_that_does_not_come_costs_the_connection_and_a_slow_answer_does_not() -> None:
    go_on = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        address = listener.getsockname()
        asking, silent, dawdling, uploading = (
            stack.enter_context(socket.create_connection(address, timeout=300)) for _ in range(4)
        )
        # Before anybody serves, or a busy machine might let the time for headers pass.
        asking.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        dawdling.sendall(b"GET / HTTP/1.1\r\nHost: ")
        uploading.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        stack.enter_context(serving(listener, go_on))
        assert dawdling.recv(1) == b""
        assert uploading.recv(1) == b""
        assert silent.recv(1) == b""
        go_on.set()
        assert asking.recv(100).startswith(b"HTTP/1.1 204")
        asking.sendall(b"GET / HTTP/1.1\r\nHos")
        while piece := asking.recv(100):
            assert b"400" not in piece


def test_connections_beyond_those_that_are_served_are_refused_in_our_own_words() -> None:
    go_on = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        stack.enter_context(serving(listener, go_on, most=1))
        served, refused = (
            stack.enter_context(socket.create_connection(listener.getsockname(), timeout=300)) for _ in range(2)
        )
        for connection in (served, refused):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with refused.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"application/problem+json" in head
        assert b"retry-after: " in head.lower()
        assert json.loads(body)["code"] == "too_many_connections"
        go_on.set()
        assert served.recv(100).startswith(b"HTTP/1.1 204")

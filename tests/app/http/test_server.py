"""A caller who dawdles over a request's headers is cut off; one whose request is being answered is not."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import Receive, Scope, Send

from app.http.serving.server import HeaderDeadline


class Quick(HeaderDeadline):
    header_seconds = 0.2


@contextmanager
def serving(answer_after: threading.Event) -> Iterator[tuple[str, int]]:
    """A server whose one answer waits for an event."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        import anyio.to_thread

        await anyio.to_thread.run_sync(answer_after.wait)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(
        application, host="127.0.0.1", port=0, http=Quick, log_level="error", ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    listener.listen()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        answer_after.set()
        server.should_exit = True
        thread.join()
        listener.close()


def test_headers_that_do_not_come_cost_the_connection_and_a_slow_answer_does_not() -> None:
    go_on = threading.Event()
    with (
        serving(go_on) as address,
        socket.create_connection(address, timeout=300) as asking,
        socket.create_connection(address, timeout=300) as silent,
        socket.create_connection(address, timeout=300) as dawdling,
    ):
        asking.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        dawdling.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert dawdling.recv(1) == b""
        assert silent.recv(1) == b""
        go_on.set()
        assert asking.recv(100).startswith(b"HTTP/1.1 204")
        asking.sendall(b"GET / HTTP/1.1\r\nHos")
        while piece := asking.recv(100):
            assert b"400" not in piece

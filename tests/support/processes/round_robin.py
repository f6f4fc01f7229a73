"""A proxy that gives each request to the next of several replicas, as a load balancer in front of the API does."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import httpx

#: Headers that belong to one connection, and those that the proxy writes itself.
_OWN = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class RoundRobin:
    """Where it listens, how many requests each replica answered, and how many event streams were lost.

    With `loses_events`, a job's event stream breaks off before its first event.
    """

    def __init__(self, replicas: Sequence[str], loses_events: bool) -> None:
        self.replicas = replicas
        self.loses_events = loses_events
        self.answered: Counter[str] = Counter()
        self.lost_streams = 0
        self.url = ""
        self._turn = count()

    def order(self) -> list[str]:
        """The replica whose turn it is, then the others, for one that is gone."""
        first = next(self._turn) % len(self.replicas)
        return [*self.replicas[first:], *self.replicas[:first]]


class _Server(ThreadingHTTPServer):
    """Ends without waiting for connections that a browser opened and never used."""

    daemon_threads = True
    block_on_close = False


@contextmanager
def round_robin(replicas: Sequence[str], *, loses_events: bool = False) -> Iterator[RoundRobin]:
    """Proxy on a free port until the block ends."""
    proxy = RoundRobin(replicas, loses_events)
    with httpx.Client(timeout=600) as client:
        server = _Server(("127.0.0.1", 0), _handler(proxy, client))
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(proxy: RoundRobin, client: httpx.Client) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            if proxy.loses_events and self.path.endswith("/events"):
                proxy.lost_streams += 1
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                return
            self.answer(self.ask(self.rfile.read(int(self.headers.get("Content-Length", 0)))))

        def ask(self, body: bytes) -> httpx.Response:
            for replica in proxy.order():
                try:
                    found = client.request(self.command, replica + self.path, headers=dict(self.headers), content=body)
                except httpx.ConnectError:
                    continue
                proxy.answered[replica] += 1
                return found
            return httpx.Response(502)

        def answer(self, found: httpx.Response) -> None:
            self.send_response(found.status_code)
            for name, value in found.headers.items():
                if name.lower() not in {*_OWN, "content-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    for method in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.forward)
    return Handler
